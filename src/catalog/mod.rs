//! stub
use crate::change::*;
use crate::form::*;
use crate::observe::Observation;
use crate::postgres::Address;
use crate::queue::BindingRecord;
use std::sync::Arc;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
impl crate::remedy::Remediable for Error {
    fn remedy(&self) -> crate::remedy::Remedy {
        crate::remedy::Remedy::Wait
    }
}
pub struct Bound {
    pub number: u32,
    pub form: Arc<BoundForm>,
}
pub struct Catalog;
impl Catalog {
    pub async fn open(
        _: &Address,
        _: Vec<Arc<Form>>,
        _: &[String],
        _: Vec<BindingRecord>,
    ) -> Result<Self, Error> {
        Ok(Self)
    }
    pub async fn bind(&mut self, _: Relation) -> Result<Vec<Observation>, Error> {
        Ok(vec![])
    }
    pub fn take_records(&mut self) -> Vec<BindingRecord> {
        vec![]
    }
    pub fn bound_to(&self, _: RelationId) -> &[Bound] {
        &[]
    }
    pub async fn compare(&mut self) -> Result<Vec<Observation>, Error> {
        Ok(vec![])
    }
}

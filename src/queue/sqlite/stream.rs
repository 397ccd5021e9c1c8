//! The stream that the queue is fed from, and the tables that forms are bound to.

use super::fault::Fault;
use super::rows::sql;
use super::writer::Writer;
use crate::delivery::{AcceptedGap, StreamRecord};
use crate::failpoint;
use crate::queue::BindingRecord;
use rusqlite::params;

impl Writer {
    /// Remembers a stream and how far capture has come in it.
    pub(super) fn record_stream(&mut self, record: &StreamRecord) -> Result<(), Fault> {
        failpoint::reach("queue.stream.before");
        self.store_position()?;
        if !record.creating {
            self.connection
                .prepare_cached(sql!("end_gap"))?
                .execute(params![record.epoch, record.progress.end_lsn.0.cast_signed()])?;
        }
        self.connection.prepare_cached(sql!("record_stream"))?.execute(params![
            record.system_id,
            record.timeline,
            record.database,
            record.slot,
            record.epoch,
            record.creating,
        ])?;
        self.connection.prepare_cached(sql!("record_progress"))?.execute(params![
            record.progress.commit_lsn.0.cast_signed(),
            record.progress.end_lsn.0.cast_signed(),
        ])?;
        self.published.progress = record.progress;
        failpoint::reach("queue.stream.after");
        Ok(())
    }

    /// Records a gap and the stream behind it.
    pub(super) fn accept_gap(&mut self, gap: &AcceptedGap, record: &StreamRecord) -> Result<(), Fault> {
        failpoint::reach("queue.gap.before");
        self.connection.prepare_cached(sql!("record_gap"))?.execute(params![
            gap.epoch,
            gap.from.0.cast_signed(),
            gap.to.0.cast_signed(),
            gap.reason,
            gap.accepted_at_us,
        ])?;
        self.forget_keys()?;
        self.record_stream(record)?;
        failpoint::reach("queue.gap.after");
        Ok(())
    }

    /// Remembers the table that a form is bound to.
    pub(super) fn record_binding(&mut self, binding: &BindingRecord) -> Result<(), Fault> {
        let rules: Vec<_> = binding.rules.iter().map(|rule| (&rule.form, &rule.key)).collect();
        let json = "names and numbers are JSON";
        let columns = serde_json::to_string(&binding.columns).expect(json);
        let rules = serde_json::to_string(&rules).expect(json);
        failpoint::reach("queue.binding.before");
        self.connection.prepare_cached(sql!("record_binding"))?.execute(params![
            binding.form,
            binding.relation,
            binding.schema,
            binding.table,
            columns,
            rules,
        ])?;
        failpoint::reach("queue.binding.after");
        Ok(())
    }
}

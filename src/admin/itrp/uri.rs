//! The `uri`: the callback's URL, with name and password in it where the endpoint wants them by HTTP Basic.

use crate::admin::translation::{Native, fault, get, set};
use crate::registry::Fault;
use crate::secret::MASK;
use crate::userinfo::{decoded, encoded};
use serde_json::{Value, json};

const AUTHENTICATION: [&str; 2] = ["callback", "authentication"];

/// The URI of a registration whose secrets are masked.
pub(super) fn show(native: &Native) -> String {
    let url = get(native, &["callback", "url"]).as_str().unwrap_or_default();
    let authentication = get(native, &AUTHENTICATION);
    match url.split_once("://") {
        Some((scheme, rest)) if is_basic(authentication) => {
            // of a webhook of the file the name is masked, too
            let name = authentication["username"].as_str().unwrap_or_default();
            let name = if name == MASK { MASK.to_owned() } else { encoded(name) };
            format!("{scheme}://{name}:{MASK}@{rest}")
        }
        _ => url.to_owned(),
    }
}

/// Puts a URI into a registration. Credentials in it are those of HTTP Basic; without them, the endpoint has none of that
/// kind any more. Other kinds of authentication, which no URI can tell of, stay.
pub(super) fn put(value: &Value, native: &mut Native) -> Result<(), Fault> {
    let wrong =
        |message: &str| fault("uri", message, "write https://name:password@host/path, or without a name");
    let Some(uri) = value.as_str().filter(|uri| !uri.is_empty()) else {
        return Err(fault("uri", "can't be blank", ""));
    };
    let Some((scheme, rest)) = uri.split_once("://") else { return Err(wrong("is no absolute URI")) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((userinfo, host)) = authority.rsplit_once('@') else {
        set(native, &["callback", "url"], uri.into());
        if is_basic(get(native, &AUTHENTICATION)) {
            set(native, &AUTHENTICATION, json!({ "type": "NO_AUTH" }));
        }
        return Ok(());
    };
    let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let (Some(name), Some(password)) = (decoded(name), decoded(password)) else {
        return Err(wrong("has credentials that cannot be read"));
    };
    set(native, &["callback", "url"], format!("{scheme}://{host}{path}").into());
    set(native, &AUTHENTICATION, json!({ "type": "BASIC", "username": name, "password": password }));
    Ok(())
}

fn is_basic(authentication: &Value) -> bool {
    authentication["type"].as_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("BASIC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(authentication: Value) -> Native {
        let native =
            json!({ "callback": { "url": "https://a.example/x", "authentication": authentication } });
        native.as_object().unwrap().clone()
    }

    #[test]
    fn credentials_stand_in_the_uri_and_elsewhere() {
        let basic = json!({ "type": "BASIC", "username": "a:b", "password": MASK });
        let mut native = native(basic);
        assert_eq!(show(&native), "https://a%3Ab:********@a.example/x");
        put(&"http://Demo:s%40fe@b.example:8080/@y".into(), &mut native).unwrap();
        let expected = json!({ "type": "BASIC", "username": "Demo", "password": "s@fe" });
        assert_eq!(get(&native, &AUTHENTICATION), &expected);
        assert_eq!(get(&native, &["callback", "url"]), "http://b.example:8080/@y");
        put(&"http://b.example/".into(), &mut native).unwrap();
        assert_eq!(get(&native, &AUTHENTICATION), &json!({ "type": "NO_AUTH" }));
    }

    #[test]
    fn what_no_uri_can_tell_of_stays() {
        let bearer = json!({ "type": "BEARER", "token": MASK });
        let mut native = native(bearer.clone());
        assert_eq!(show(&native), "https://a.example/x");
        put(&"https://b.example/x".into(), &mut native).unwrap();
        assert_eq!(get(&native, &AUTHENTICATION), &bearer);
        for wrong in [json!(""), json!(7), json!("b.example"), json!("https://a%zz@b.example/")] {
            assert_eq!(put(&wrong, &mut native).unwrap_err().field, "uri", "{wrong}");
        }
    }
}

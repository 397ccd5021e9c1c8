//! What the gate adds to every operation of the document: how to log in, and the answers of who is not let in.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref};

const USER: &str = "user";
const TOKEN: &str = "token";

/// Says it in the document. An empty requirement stands among the others, for where no account is configured nobody is
/// asked who he is.
pub(super) fn describe(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let schemes = [
        (USER, HttpAuthScheme::Basic, "One of [[admin.users]], by name and password."),
        (TOKEN, HttpAuthScheme::Bearer, "One of [[admin.tokens]]."),
    ];
    for (name, scheme, about) in schemes {
        let mut http = Http::new(scheme);
        http.description = Some(about.to_owned());
        components.security_schemes.insert(name.to_owned(), SecurityScheme::Http(http).into());
    }
    let none: [&str; 0] = [];
    document.security = Some(vec![
        SecurityRequirement::new(USER, none),
        SecurityRequirement::new(TOKEN, none),
        SecurityRequirement::default(),
    ]);
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete, &mut path.patch];
        operations.into_iter().flatten().for_each(add_answers);
    }
    document
}

fn add_answers(operation: &mut Operation) {
    let answers = [
        ("401", "Nobody is logged in, or the name, the password or the token is wrong.", "www-authenticate"),
        ("403", "The account may only look, or a page of another site asks.", ""),
        ("421", "No account is configured, and the request is for a host that is not this one.", ""),
        ("429", "Too many wrong logins came before.", "retry-after"),
    ];
    for (status, description, header) in answers {
        operation.responses.responses.entry(status.to_owned()).or_insert(problem(description, header).into());
    }
}

fn problem(description: &str, header: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = ResponseBuilder::new().description(description).content("application/problem+json", body);
    if header.is_empty() {
        return response.build();
    }
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    response.header(header, HeaderBuilder::new().schema(Some(text)).build()).build()
}

//! Proxy types in Sandesh syntax.

use proxy_uve::schema::{Schema, SchemaErrors};

/// Compiles the file; a good one must take another period and refuse to be added to itself.
pub fn schema(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut schema = match Schema::parse("fuzz.sandesh", text) {
        Ok(schema) => schema,
        Err(errors) => return check_errors(text, &errors),
    };
    if let Err(errors) = schema.with_period(7) {
        check_errors(text, &errors);
    }
    let names: Vec<_> = schema.names().map(str::to_owned).collect();
    for (name, proxy_type) in names.iter().zip(schema.types()) {
        assert_eq!(*name, proxy_type.name());
        assert!(!proxy_type.attributes().is_empty(), "{name} computes nothing");
    }
    match schema.extend(schema.clone()) {
        Ok(()) => assert!(names.is_empty(), "a type was added twice"),
        Err(errors) => assert_eq!(errors.errors().len(), names.len(), "{errors}"),
    }
}

fn check_errors(text: &str, errors: &SchemaErrors) {
    assert!(!errors.errors().is_empty(), "refused without an error");
    for error in errors.errors() {
        let line = text.split('\n').nth(error.line() - 1);
        let line = line.unwrap_or_else(|| panic!("line {} of {text:?}: {error}", error.line()));
        assert!((1..=line.chars().count() + 1).contains(&error.column()), "column {}: {error}", error.column());
        assert_eq!(error.to_string().lines().count(), 4, "{error}");
    }
}

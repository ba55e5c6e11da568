//! Items of DynamoDB as plain JSON, and back. Pure.

use serde_json::{Number, Value, json};

/// An item as the service has it.
pub(crate) fn from_plain(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "NULL": true }),
        Value::Bool(bool) => json!({ "BOOL": bool }),
        Value::Number(number) => json!({ "N": number.to_string() }),
        Value::String(text) => json!({ "S": text }),
        Value::Array(values) => {
            json!({ "L": values.iter().map(from_plain).collect::<Vec<_>>() })
        }
        Value::Object(_) => json!({ "M": item_from_plain(value) }),
    }
}

/// An item of an object.
pub(crate) fn item_from_plain(item: &Value) -> Value {
    let fields = item.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), from_plain(value))).collect()
}

/// An attribute as plain JSON; a set is a list. Null for what is none.
pub(crate) fn to_plain(attribute: &Value) -> Value {
    let Some((kind, value)) = attribute.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "S" | "BOOL" | "B" | "SS" | "BS" => value.clone(),
        "N" => number(value),
        "NS" => value.as_array().into_iter().flatten().map(number).collect(),
        "L" => value.as_array().into_iter().flatten().map(to_plain).collect(),
        "M" => item_to_plain(value),
        _ => Value::Null,
    }
}

pub(crate) fn item_to_plain(item: &Value) -> Value {
    let fields = item.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), to_plain(value))).collect()
}

fn number(text: &Value) -> Value {
    let number = text.as_str().and_then(|text| text.parse::<Number>().ok());
    number.map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_comes_back_as_it_was() {
        let item = json!({
            "PK": "M#a", "TTL": 1_700_000_000, "size": 1.5, "gone": null, "isOwner": true,
            "list": ["a", { "b": [] }], "map": { "Id": "x" },
        });
        assert_eq!(to_plain(&from_plain(&item)), item);
    }
}

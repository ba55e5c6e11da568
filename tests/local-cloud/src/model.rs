//! Whether a request or an answer is as AWS describes it: the service's model, as it
//! comes with botocore, and a value that is held against it.
//!
//! Pure but for reading the model. It must not know any service: what an operation
//! does is the stubs' business. An unknown member is refused, where AWS would pass
//! over it: whoever sends one has misspelt something.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} has no model")]
    Missing { path: PathBuf },
    #[error("there is no botocore beside {ministack}")]
    NoBotocore { ministack: PathBuf },
    #[error("{path} is no model")]
    Parse { path: PathBuf, source: serde_json::Error },
}

/// The folder `data` of the botocore that was installed together with a ministack.
pub fn botocore_data(ministack: &Path) -> Result<PathBuf, Error> {
    let missing = || Error::NoBotocore { ministack: ministack.to_owned() };
    // Scripts of an environment stand in its `bin`, modules below `lib/python3.11`.
    let program = fs::canonicalize(ministack).map_err(|_| missing())?;
    let environment = program.parent().and_then(Path::parent).ok_or_else(missing)?;
    let versions = fs::read_dir(environment.join("lib")).map_err(|_| missing())?;
    let mut folders = versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("site-packages/botocore/data"));
    folders.find(|folder| folder.is_dir()).ok_or_else(missing)
}

/// All operations of a service.
#[derive(Debug, Deserialize)]
pub struct Model {
    metadata: Metadata,
    operations: BTreeMap<String, Operation>,
    shapes: BTreeMap<String, Shape>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    protocol: String,
}

#[derive(Debug, Deserialize)]
struct Operation {
    input: Option<Reference>,
    output: Option<Reference>,
}

/// A place where a shape is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    shape: String,
    /// Its name on the wire, if that is another.
    location_name: Option<String>,
    /// Where outside the body it is.
    location: Option<String>,
    timestamp_format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    members: BTreeMap<String, Reference>,
    #[serde(default)]
    required: Vec<String>,
    /// Of a list.
    member: Option<Reference>,
    /// Of a map.
    key: Option<Reference>,
    value: Option<Reference>,
    /// The least and the most: of a number itself, else of its length.
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<Pattern>,
    #[serde(default, rename = "enum")]
    values: Vec<String>,
    #[serde(default)]
    union: bool,
    /// Any JSON.
    #[serde(default)]
    document: bool,
    timestamp_format: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Structure,
    List,
    Map,
    String,
    Character,
    Blob,
    Boolean,
    Byte,
    Short,
    Integer,
    Long,
    BigInteger,
    Float,
    Double,
    BigDecimal,
    Timestamp,
}

/// What a text must match somewhere, `None` if that is not understood here: some are
/// written for Java, and others look ahead.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
struct Pattern(Option<Regex>);

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self(Regex::new(&text).ok())
    }
}

/// A place in a value, such as `overrides.containerOverrides[0].name`.
#[derive(Clone, Copy)]
enum At<'a> {
    Top,
    Member(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("the body"),
            Self::Member(Self::Top, name) => f.write_str(name),
            Self::Member(above, name) => write!(f, "{above}.{name}"),
            Self::Item(above, number) => write!(f, "{above}[{number}]"),
        }
    }
}

impl Model {
    /// The newest model of a service, such as `ecs`, in botocore's folder `data`.
    pub fn load(botocore_data: &Path, service: &str) -> Result<Self, Error> {
        let folder = botocore_data.join(service);
        let unread = |path: &Path| {
            let path = path.to_owned();
            |source| Error::Read { path, source }
        };
        let mut versions = Vec::new();
        for entry in fs::read_dir(&folder).map_err(unread(&folder))? {
            versions.push(entry.map_err(unread(&folder))?.path());
        }
        // They are dates.
        versions.sort();
        let names = ["service-2.json.gz", "service-2.json"];
        let files = versions.iter().rev().flat_map(|version| names.map(|name| version.join(name)));
        let Some(path) = files.into_iter().find(|path| path.is_file()) else {
            return Err(Error::Missing { path: folder });
        };
        let bytes = fs::read(&path).map_err(unread(&path))?;
        let mut text = Vec::new();
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut unpacked = flate2::read::GzDecoder::new(bytes.as_slice());
            unpacked.read_to_end(&mut text).map_err(unread(&path))?;
        } else {
            text = bytes;
        }
        serde_json::from_slice(&text).map_err(|source| Error::Parse { path, source })
    }

    /// What is wrong with a request. What stands in its path, query or headers is
    /// among the members of its body, as text.
    pub fn check_input(&self, operation: &str, request: &Value) -> Result<(), String> {
        self.check_whole(self.operation(operation)?.input.as_ref(), request)
    }

    /// What is wrong with an answer.
    pub fn check_output(&self, operation: &str, answer: &Value) -> Result<(), String> {
        self.check_whole(self.operation(operation)?.output.as_ref(), answer)
    }

    fn operation(&self, name: &str) -> Result<&Operation, String> {
        self.operations.get(name).ok_or_else(|| format!("the model has no operation {name}"))
    }

    fn check_whole(&self, reference: Option<&Reference>, value: &Value) -> Result<(), String> {
        match reference {
            Some(reference) => self.check(reference, value, At::Top),
            None if value.as_object().is_some_and(Map::is_empty) => Ok(()),
            None => Err("the body is not empty".into()),
        }
    }

    fn check(&self, reference: &Reference, value: &Value, at: At<'_>) -> Result<(), String> {
        let name = &reference.shape;
        let shape =
            self.shapes.get(name).ok_or_else(|| format!("the model has no shape {name}"))?;
        let parsed;
        let value = match (value, &reference.location) {
            // Outside the body everything is text.
            (Value::String(text), Some(_)) if shape.kind.is_read_from_text() => {
                parsed = serde_json::from_str(text).unwrap_or_default();
                &parsed
            }
            _ => value,
        };
        match shape.kind {
            Kind::Structure if shape.document => Ok(()),
            Kind::Structure => self.check_structure(shape, value, at),
            Kind::List => self.check_list(shape, value, at),
            Kind::Map => self.check_map(shape, value, at),
            Kind::String | Kind::Character => check_text(shape, value, at),
            Kind::Blob => check_blob(shape, value, at),
            Kind::Boolean => a(value.as_bool(), "true or false", at).map(drop),
            Kind::Byte => check_whole_number(shape, value, i8::MIN.into(), i8::MAX.into(), at),
            Kind::Short => check_whole_number(shape, value, i16::MIN.into(), i16::MAX.into(), at),
            Kind::Integer => check_whole_number(shape, value, i32::MIN.into(), i32::MAX.into(), at),
            Kind::Long | Kind::BigInteger => {
                check_whole_number(shape, value, i64::MIN, i64::MAX, at)
            }
            Kind::Float | Kind::Double | Kind::BigDecimal => {
                let number = a(value.as_f64(), "a number", at)?;
                check_range(shape, number, at, "is")
            }
            Kind::Timestamp => {
                let format = reference.timestamp_format.as_ref();
                match format.or(shape.timestamp_format.as_ref()).map(String::as_str) {
                    _ if reference.location.is_some() => {
                        a(value.as_str(), "a time in text", at).map(drop)
                    }
                    None | Some("unixTimestamp") => {
                        a(value.as_f64(), "a time in seconds", at).map(drop)
                    }
                    Some(_) => a(value.as_str(), "a time in text", at).map(drop),
                }
            }
        }
    }

    fn check_structure(&self, shape: &Shape, value: &Value, at: At<'_>) -> Result<(), String> {
        let given = a(value.as_object(), "an object", at)?;
        let members: BTreeMap<&str, &Reference> = shape
            .members
            .iter()
            .map(|(name, reference)| (self.wire_name(name, reference), reference))
            .collect();
        for name in &shape.required {
            let reference = shape.members.get(name);
            let name = reference.map_or(name.as_str(), |member| self.wire_name(name, member));
            if !given.contains_key(name) {
                return Err(format!("{} is missing", At::Member(&at, name)));
            }
        }
        if shape.union && given.len() != 1 {
            return Err(format!("{at} has {} members, it is one of several", given.len()));
        }
        for (name, value) in given {
            let at = At::Member(&at, name);
            let reference = members.get(name.as_str());
            let reference = reference.ok_or_else(|| format!("{at} is not in the model"))?;
            self.check(reference, value, at)?;
        }
        Ok(())
    }

    fn wire_name<'a>(&self, name: &'a str, reference: &'a Reference) -> &'a str {
        match &reference.location_name {
            // JSON 1.1 has the members' own names.
            Some(wire) if self.metadata.protocol.starts_with("rest-") => wire,
            _ => name,
        }
    }

    fn check_list(&self, shape: &Shape, value: &Value, at: At<'_>) -> Result<(), String> {
        let items = a(value.as_array(), "a list", at)?;
        check_length(shape, items.len(), at, "items")?;
        let member = shape.member.as_ref().ok_or_else(|| format!("{at} is a list of nothing"))?;
        let mut items = items.iter().enumerate();
        items.try_for_each(|(number, item)| self.check(member, item, At::Item(&at, number)))
    }

    fn check_map(&self, shape: &Shape, value: &Value, at: At<'_>) -> Result<(), String> {
        let entries = a(value.as_object(), "an object", at)?;
        check_length(shape, entries.len(), at, "entries")?;
        let (Some(key), Some(value)) = (&shape.key, &shape.value) else {
            return Err(format!("{at} is a map of nothing"));
        };
        entries.iter().try_for_each(|(name, entry)| {
            let at = At::Member(&at, name);
            self.check(key, &Value::String(name.clone()), at)?;
            self.check(value, entry, at)
        })
    }
}

impl Kind {
    /// Whether it looks in JSON as it does in an address, but for the quotes.
    fn is_read_from_text(self) -> bool {
        !matches!(
            self,
            Self::String | Self::Character | Self::Blob | Self::List | Self::Map | Self::Timestamp
        )
    }
}

/// The value, which must be of a kind.
fn a<T>(value: Option<T>, kind: &str, at: At<'_>) -> Result<T, String> {
    value.ok_or_else(|| format!("{at} is not {kind}"))
}

fn check_text(shape: &Shape, value: &Value, at: At<'_>) -> Result<(), String> {
    let text = a(value.as_str(), "text", at)?;
    check_length(shape, text.chars().count(), at, "characters")?;
    if !shape.values.is_empty() && !shape.values.iter().any(|value| value == text) {
        return Err(format!("{at} is {text:?}, it is one of {}", shape.values.join(", ")));
    }
    match &shape.pattern {
        Some(Pattern(Some(pattern))) if !pattern.is_match(text) => {
            Err(format!("{at} is {text:?}, which does not match {pattern}"))
        }
        _ => Ok(()),
    }
}

fn check_blob(shape: &Shape, value: &Value, at: At<'_>) -> Result<(), String> {
    let bytes = value.as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
    check_length(shape, a(bytes, "base64", at)?.len(), at, "bytes")
}

fn check_whole_number(
    shape: &Shape,
    value: &Value,
    least: i64,
    most: i64,
    at: At<'_>,
) -> Result<(), String> {
    let number = value.as_i64().filter(|number| (least..=most).contains(number));
    let number = a(number, "a whole number that fits", at)?;
    #[expect(clippy::cast_precision_loss, reason = "the bounds of models are no longer")]
    check_range(shape, number as f64, at, "is")
}

fn check_length(shape: &Shape, length: usize, at: At<'_>, of: &str) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "the bounds of models are no longer")]
    check_range(shape, length as f64, at, "has").map_err(|wrong| format!("{wrong} {of}"))
}

fn check_range(shape: &Shape, number: f64, at: At<'_>, verb: &str) -> Result<(), String> {
    match (shape.min, shape.max) {
        (Some(least), _) if number < least => Err(format!("{at} {verb} {number}, below {least}")),
        (_, Some(most)) if number > most => Err(format!("{at} {verb} {number}, above {most}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::servers::on_path;

    /// A service whose operation `Do` takes and gives one structure.
    fn model(protocol: &str, members: &Value, others: &Value) -> Model {
        let mut shapes = json!({
            "Thing": { "type": "structure", "members": members, "required": ["Needed"] },
            "Name": { "type": "string", "min": 2, "max": 3, "pattern": "^[a-zé]+$" },
            "Number": { "type": "integer", "min": 1, "max": 10 },
            "Flag": { "type": "boolean" },
            "When": { "type": "timestamp" },
        });
        let others = others.as_object().unwrap().clone();
        shapes.as_object_mut().unwrap().extend(others);
        serde_json::from_value(json!({
            "metadata": { "protocol": protocol },
            "operations": {
                "Do": { "input": { "shape": "Thing" }, "output": { "shape": "Thing" } },
                "Nothing": {},
            },
            "shapes": shapes,
        }))
        .unwrap()
    }

    fn of_one(shape: &Value) -> Model {
        model("json", &json!({ "Needed": { "shape": "One" } }), &json!({ "One": shape }))
    }

    /// What is wrong with `value` where a shape is wanted; nothing if that is empty.
    fn wrong(shape: &Value, value: &Value) -> String {
        let checked = of_one(shape).check_input("Do", &json!({ "Needed": value }));
        checked.err().unwrap_or_default()
    }

    #[test]
    fn a_structure_has_all_that_is_required_and_nothing_unknown() {
        let model = model(
            "json",
            &json!({ "Needed": { "shape": "Name" }, "other": { "shape": "Flag" } }),
            &json!({}),
        );
        let check = |value| model.check_input("Do", &value).err().unwrap_or_default();
        assert_eq!(check(json!({ "Needed": "ab", "other": true })), "");
        assert_eq!(check(json!({ "Needed": "ab" })), "");
        assert_eq!(check(json!({})), "Needed is missing");
        assert_eq!(check(json!({ "needed": "ab", "Needed": "ab" })), "needed is not in the model");
        assert_eq!(check(json!({ "Needed": null })), "Needed is not text");
        assert_eq!(check(json!([])), "the body is not an object");
        assert_eq!(model.check_output("Do", &json!({})), Err("Needed is missing".into()));
        assert!(model.check_input("Undo", &json!({})).unwrap_err().contains("Undo"));
        assert_eq!(model.check_input("Nothing", &json!({})), Ok(()));
        assert!(model.check_output("Nothing", &json!({ "a": 1 })).is_err());
    }

    #[test]
    fn each_kind_of_value_is_held_against_its_bounds() {
        let one = |kind: &str| json!({ "type": kind });
        let list = json!({ "type": "list", "member": { "shape": "Number" }, "min": 1, "max": 2 });
        let map = json!({
            "type": "map", "max": 1, "key": { "shape": "Name" }, "value": { "shape": "Number" },
        });
        let choice = json!({ "type": "string", "enum": ["RUNNING", "STOPPED"] });
        let odd = json!({ "type": "string", "pattern": "^(?!aws:)x$" });
        let union = json!({
            "type": "structure", "union": true,
            "members": { "a": { "shape": "Flag" }, "b": { "shape": "Flag" } },
        });
        let name = json!({ "type": "string", "min": 2, "max": 3, "pattern": "^[a-zé]+$" });
        for (shape, value, expected) in [
            (&name, json!("éé"), ""),
            (&name, json!("a"), "Needed has 1, below 2 characters"),
            (&name, json!("éééé"), "Needed has 4, above 3 characters"),
            (&name, json!("AB"), "Needed is \"AB\", which does not match ^[a-zé]+$"),
            (&name, json!(12), "Needed is not text"),
            (&odd, json!("aws:"), ""),
            (&choice, json!("STOPPED"), ""),
            (&choice, json!("stopped"), "Needed is \"stopped\", it is one of RUNNING, STOPPED"),
            (&list, json!([1, 10]), ""),
            (&list, json!([]), "Needed has 0, below 1 items"),
            (&list, json!([1, 11]), "Needed[1] is 11, above 10"),
            (&list, json!({}), "Needed is not a list"),
            (&map, json!({ "ab": 1 }), ""),
            (&map, json!({ "ab": 1, "cd": 1 }), "Needed has 2, above 1 entries"),
            (&map, json!({ "a": 1 }), "Needed.a has 1, below 2 characters"),
            (&map, json!({ "ab": "1" }), "Needed.ab is not a whole number that fits"),
            (&one("integer"), json!(2_147_483_648_i64), "Needed is not a whole number that fits"),
            (&one("integer"), json!(1.5), "Needed is not a whole number that fits"),
            (&one("long"), json!(2_147_483_648_i64), ""),
            (&one("double"), json!(1.5), ""),
            (&one("boolean"), json!("true"), "Needed is not true or false"),
            (&one("timestamp"), json!(1_709_622_489.123), ""),
            (&one("timestamp"), json!("2024-03-05T07:08:09Z"), "Needed is not a time in seconds"),
            (&one("blob"), json!("YQ=="), ""),
            (&one("blob"), json!("a b"), "Needed is not base64"),
            (&union, json!({ "a": true }), ""),
            (&union, json!({}), "Needed has 0 members, it is one of several"),
        ] {
            assert_eq!(wrong(shape, &value), expected, "{shape} {value}");
        }
    }

    #[test]
    fn names_on_the_wire_are_those_of_the_protocol() {
        let members = json!({
            "Needed": { "shape": "Name", "location": "uri", "locationName": "id" },
            "Limit": { "shape": "Number", "location": "querystring", "locationName": "limit" },
            "All": { "shape": "Flag", "location": "querystring", "locationName": "all" },
            "Text": { "shape": "Name", "locationName": "text" },
        });
        let rest = model("rest-json", &members, &json!({}));
        let check = |value| rest.check_input("Do", &value).err().unwrap_or_default();
        assert_eq!(check(json!({ "id": "ab", "limit": "10", "all": "true", "text": "ab" })), "");
        assert_eq!(check(json!({ "Needed": "ab" })), "id is missing");
        assert_eq!(check(json!({ "id": "ab", "limit": "11" })), "limit is 11, above 10");
        assert_eq!(
            check(json!({ "id": "ab", "limit": "many" })),
            "limit is not a whole number that fits"
        );
        let json = model("json", &members, &json!({}));
        assert_eq!(json.check_input("Do", &json!({ "Needed": "ab", "Text": "ab" })), Ok(()));
    }

    #[test]
    fn the_newest_model_is_taken_packed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |version: &str, name: &str, bytes: &[u8]| {
            let folder = dir.path().join("s").join(version);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), bytes).unwrap();
        };
        assert!(matches!(Model::load(dir.path(), "s"), Err(Error::Read { .. })));
        write("2014-01-01", "other.json", b"{}");
        assert!(matches!(Model::load(dir.path(), "s"), Err(Error::Missing { .. })));
        let text = |operation: &str| {
            let shapes = json!({});
            let operations = json!({ operation: {} });
            json!({ "metadata": { "protocol": "json" }, "operations": operations, "shapes": shapes })
                .to_string()
        };
        write("2014-01-01", "service-2.json", text("Old").as_bytes());
        assert!(Model::load(dir.path(), "s").unwrap().operations.contains_key("Old"));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, text("New").as_bytes()).unwrap();
        write("2015-01-01", "service-2.json.gz", &packed.finish().unwrap());
        assert!(Model::load(dir.path(), "s").unwrap().operations.contains_key("New"));
        write("2016-01-01", "service-2.json", b"[]");
        assert!(matches!(Model::load(dir.path(), "s"), Err(Error::Parse { .. })));
    }

    #[test]
    fn the_real_models_are_understood() {
        let data = botocore_data(&on_path("ministack").unwrap()).unwrap();
        let ecs = Model::load(&data, "ecs").unwrap();
        let request = |launch_type| {
            json!({
                "taskDefinition": "bot:1", "count": 1, "launchType": launch_type,
                "overrides": { "containerOverrides": [{
                    "name": "c", "environment": [{ "name": "TASK_TYPE", "value": "RECORDING" }],
                }] },
            })
        };
        assert_eq!(ecs.check_input("RunTask", &request("EC2")), Ok(()));
        let wrong = ecs.check_input("RunTask", &request("EC3")).unwrap_err();
        assert!(wrong.starts_with("launchType is \"EC3\", it is one of EC2, "), "{wrong}");
        let mut misspelt = request("EC2");
        misspelt["overrides"]["containerOverrides"][0]["environment"][0]["key"] = json!("A");
        assert_eq!(
            ecs.check_input("RunTask", &misspelt),
            Err("overrides.containerOverrides[0].environment[0].key is not in the model".into())
        );
        let connect = Model::load(&data, "connect").unwrap();
        let user = json!({ "UserId": "u", "InstanceId": "i" });
        assert_eq!(connect.check_input("DescribeUser", &user), Ok(()));
        let user = json!({ "UserId": "u", "InstanceId": "" });
        let wrong = connect.check_input("DescribeUser", &user).unwrap_err();
        assert_eq!(wrong, "InstanceId has 0, below 1 characters");
    }
}

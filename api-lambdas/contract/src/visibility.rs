//! Who may see a recording: those of the hierarchy group that it was made in, and
//! those of a group above. Pure.

use serde_json::Value;

use crate::items::{Recording, User};

/// Whether the user may see the recording.
pub fn may_see(user: &User, recording: &Recording) -> bool {
    if user.hierarchy_group_id == recording.connect_hierarchy_group_id {
        return true;
    }
    let (Some(own), Some(theirs), Some(group)) = (
        &user.hierarchy_group_summary,
        &recording.connect_hierarchy_group_summary,
        &user.hierarchy_group_id,
    ) else {
        return false;
    };
    let level = own.get("LevelId").and_then(Value::as_str).and_then(level_name);
    let above =
        level.and_then(|level| theirs.get("HierarchyPath")?.get(level)?.get("Id")?.as_str());
    above == Some(group)
}

fn level_name(id: &str) -> Option<&'static str> {
    let names = ["LevelOne", "LevelTwo", "LevelThree", "LevelFour", "LevelFive"];
    let level: usize = id.parse().ok()?;
    names.get(level.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::{a_recording, a_user};

    /// A group at a level of the path A / B / C.
    fn group(name: &str) -> Value {
        let path = [("LevelOne", "A"), ("LevelTwo", "B"), ("LevelThree", "C")];
        let level = path.iter().position(|(_, group)| *group == name).map_or(2, |at| at + 1);
        let above: serde_json::Map<_, _> = path
            .iter()
            .take(level)
            .map(|(level, group)| ((*level).to_owned(), json!({ "Id": group })))
            .collect();
        json!({ "Id": name, "LevelId": level.to_string(), "HierarchyPath": above })
    }

    #[test]
    fn a_group_sees_its_own_recordings_and_those_below() {
        for (user, recording, visible) in [
            (None, None, true),
            (None, Some("A"), false),
            (Some("A"), None, false),
            (Some("B"), Some("B"), true),
            (Some("A"), Some("C"), true),
            (Some("B"), Some("C"), true),
            (Some("C"), Some("B"), false),
            // A sibling of B.
            (Some("D"), Some("B"), false),
            (Some("D"), Some("C"), false),
        ] {
            let user = User {
                hierarchy_group_id: user.map(str::to_owned),
                hierarchy_group_summary: user.map(group),
                ..a_user()
            };
            let recording = Recording {
                connect_hierarchy_group_id: recording.map(str::to_owned),
                connect_hierarchy_group_summary: recording.map(group),
                ..a_recording()
            };
            assert_eq!(may_see(&user, &recording), visible, "{user:?} {recording:?}");
        }
    }

    #[test]
    fn the_level_that_counts_is_the_users() {
        let recording = Recording {
            connect_hierarchy_group_id: Some("Z".into()),
            connect_hierarchy_group_summary: Some(
                json!({ "HierarchyPath": { "LevelThree": { "Id": "X" } } }),
            ),
            ..a_recording()
        };
        for (level, visible) in
            [("2", false), ("3", true), ("0", false), ("6", false), ("x", false)]
        {
            let user = User {
                hierarchy_group_id: Some("X".into()),
                hierarchy_group_summary: Some(json!({ "LevelId": level })),
                ..a_user()
            };
            assert_eq!(may_see(&user, &recording), visible, "level {level}");
        }
    }
}

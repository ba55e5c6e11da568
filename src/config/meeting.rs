//! The settings of a meeting: how to join one, how its page looks, when an empty
//! one ends, and what happens in the one inside of this process.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{self, Read, Reader};
use super::{Logging, parse};
use crate::cli::{LookArgs, MeetingPageArgs, ServeArgs, TestMeetingArgs};
use crate::logging::Filter;
use crate::meeting::watch::Rules;
use crate::meeting::{Layout, Look};
use crate::secret::Secret;

/// Where the image keeps the page.
const DEFAULT_PAGE: &str = "/usr/local/share/recorder/recording-app";

/// As long as Chime holds a meeting.
const LONGEST_PATIENCE: Duration = Duration::from_hours(24);

/// A meeting that everybody has left: long enough for a lift or a tunnel.
const DEFAULT_EMPTY: Duration = Duration::from_mins(2);

/// A meeting that nobody has entered yet: people come late.
const DEFAULT_NOBODY: Duration = Duration::from_mins(10);

/// Synthetic participants if nobody says otherwise: what fills a grid.
const DEFAULT_PARTICIPANTS: usize = 4;

/// What the page shows at most.
const MOST_PARTICIPANTS: usize = 25;

/// How a meeting is shown and when it ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// The folder of the built page.
    pub page: PathBuf,
    pub look: Look,
    pub rules: Rules,
}

/// What the recording joins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Base64 of the JSON of the Meeting object.
    pub meeting: Secret,
    pub attendee: Secret,
    pub names: BTreeMap<String, String>,
}

/// The meeting inside of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestMeeting {
    pub people: People,
    /// `None`: found by itself.
    pub media_address: Option<IpAddr>,
    /// Where its encoded pictures are kept from run to run.
    pub cache: PathBuf,
}

/// Who is in the test meeting and what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum People {
    /// So many, who speak in turn.
    Standard { participants: usize, share: bool },
    /// As this file says.
    Scenario(PathBuf),
}

/// What `recorder meeting` serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    pub meeting: TestMeeting,
    pub page: PathBuf,
    pub look: Look,
    /// `None`: any that is free.
    pub port: Option<u16>,
    pub meeting_id: Option<String>,
    pub logging: Logging,
}

pub(super) fn page(reader: &mut Reader<'_>, args: MeetingPageArgs) -> Read<Meeting> {
    let shown = look(reader, args.look);
    let patience = |text: &str| parse::duration(text).filter(|length| *length <= LONGEST_PATIENCE);
    let empty = reader.read(args.empty_timeout, &settings::EMPTY_TIMEOUT, patience);
    let nobody = reader.read(args.waiting_timeout, &settings::WAITING_TIMEOUT, patience);
    let rules =
        Rules { empty: empty?.unwrap_or(DEFAULT_EMPTY), nobody: nobody?.unwrap_or(DEFAULT_NOBODY) };
    let (page, look) = shown?;
    Ok(Meeting { page, look, rules })
}

/// The folder of the page, and how it looks.
fn look(reader: &mut Reader<'_>, args: LookArgs) -> Read<(PathBuf, Look)> {
    let page = reader.read(args.meeting_page, &settings::MEETING_PAGE, parse::path);
    let layout = reader.read(args.layout, &settings::LAYOUT, |text| match text {
        "grid" => Some(Layout::Grid),
        "speaker" => Some(Layout::Speaker),
        _ => None,
    });
    let title = reader.read(args.title, &settings::TITLE, parse::title);
    let clock = reader.read(args.clock, &settings::CLOCK, parse::boolean);
    let look =
        Look { layout: layout?.unwrap_or_default(), title: title?, clock: clock?.unwrap_or(false) };
    Ok((page?.unwrap_or_else(|| DEFAULT_PAGE.into()), look))
}

/// `None` when no meeting is named.
pub(super) fn join(reader: &mut Reader<'_>) -> Read<Option<Join>> {
    let join_data = |text: &str| parse::is_join_data(text).then(|| Secret::new(text));
    let meeting = reader.read(None, &settings::MEETING, join_data);
    let attendee = reader.read(None, &settings::ATTENDEE, join_data);
    let names = reader.read(None, &settings::NAMES, parse::names);
    match (meeting?, attendee?, names?) {
        (Some(meeting), Some(attendee), names) => {
            Ok(Some(Join { meeting, attendee, names: names.unwrap_or_default() }))
        }
        (Some(_), None, _) => Err(reader.missing(&settings::ATTENDEE)),
        (None, Some(_), _) => Err(reader.missing(&settings::MEETING)),
        (None, None, _) => Ok(None),
    }
}

/// `None` when none of its flags was given.
pub(super) fn asked_for(args: &TestMeetingArgs) -> bool {
    args.participants.is_some()
        || args.share
        || args.scenario.is_some()
        || args.media_address.is_some()
}

pub(super) fn test_meeting(reader: &mut Reader<'_>, args: TestMeetingArgs) -> Read<TestMeeting> {
    let has_own_people = args.participants.is_some() || args.share;
    let participants = reader.read(args.participants, &settings::PARTICIPANTS, |text| {
        text.parse().ok().filter(|count| *count <= MOST_PARTICIPANTS)
    });
    let scenario = reader.read(args.scenario, &settings::SCENARIO, parse::path);
    let address =
        reader.read(args.media_address, &settings::MEDIA_ADDRESS, |text| text.parse().ok());
    let cache = cache(reader);
    let people = match (participants?, scenario?) {
        (_, Some(_)) if has_own_people => {
            return Err(reader.refuse(
                settings::SCENARIO.flag,
                "says who is there; leave out --participants and --share",
            ));
        }
        (_, Some(file)) => People::Scenario(file),
        (participants, None) => People::Standard {
            participants: participants.unwrap_or(DEFAULT_PARTICIPANTS),
            share: args.share,
        },
    };
    Ok(TestMeeting { people, media_address: address?, cache: cache? })
}

/// Where programs keep what they could make again.
fn cache(reader: &mut Reader<'_>) -> Read<PathBuf> {
    let caches = reader.read(None, &settings::CACHE_HOME, parse::path)?;
    let home = reader.read(None, &settings::HOME, parse::path)?;
    let caches = caches.or_else(|| home.map(|home| home.join(".cache")));
    let caches = caches.unwrap_or_else(|| super::DEFAULT_TEMP_DIR.into());
    Ok(caches.join("recorder").join("meeting"))
}

pub(super) fn serve(reader: &mut Reader<'_>, args: ServeArgs) -> Read<Serve> {
    let meeting = test_meeting(reader, args.meeting);
    let shown = look(reader, args.look);
    let port = reader
        .read(args.port, &settings::PORT, |text| text.parse().ok().filter(|port: &u16| *port > 0));
    let meeting_id = reader.read(args.meeting_id, &settings::MEETING_ID, parse::meeting_id);
    let logging = super::logging(reader, args.log, Filter::default());
    let (page, look) = shown?;
    Ok(Serve {
        meeting: meeting?,
        page,
        look,
        port: port?,
        meeting_id: meeting_id?,
        logging: logging?,
    })
}

//! A meeting on loopback that speaks the signaling and media protocols of
//! Amazon Chime SDK, with synthetic participants.

pub mod scenario {
    #[derive(Debug, thiserror::Error)]
    #[error("stub")]
    pub struct Error;
}
#[derive(Debug)]
pub struct Scenario;
impl Scenario {
    pub fn standard(_: usize, _: bool) -> Self {
        Self
    }
    pub fn parse(_: &str) -> Result<Self, scenario::Error> {
        Err(scenario::Error)
    }
}
#[derive(Debug)]
pub struct Options {
    pub port: Option<u16>,
    pub media_address: Option<std::net::IpAddr>,
    pub media: std::path::PathBuf,
}
#[derive(Debug)]
pub struct MeetingNames {
    pub meeting_id: Option<String>,
    pub external_meeting_id: String,
}
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;
#[derive(Debug)]
pub struct Hosted {
    pub meeting: serde_json::Value,
    pub attendee: serde_json::Value,
    pub names: std::collections::BTreeMap<String, String>,
}
#[derive(Debug)]
pub struct Server;
impl Server {
    pub async fn start(_: Options) -> Result<Self, Error> {
        Err(Error)
    }
    pub fn endpoint(&self) -> String {
        String::new()
    }
    pub async fn host(&self, _: Scenario, _: MeetingNames) -> Result<Hosted, Error> {
        Err(Error)
    }
    pub async fn stop(self) {}
}

//! A meeting on loopback that speaks the signaling and media protocols of
//! Amazon Chime SDK, with synthetic participants.

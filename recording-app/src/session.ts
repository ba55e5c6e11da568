// The SDK's session, receive-only: no device is opened and nothing is sent. Tells
// what happens in the meeting in the page's own words. It must not know the DOM
// beyond the one audio element.

import {
  type AudioVideoObserver,
  DefaultDeviceController,
  DefaultMeetingSession,
  type Logger,
  LogLevel,
  MeetingSessionConfiguration,
  MeetingSessionStatusCode,
} from "amazon-chime-sdk-js";
import { Concealment } from "./concealment";
import { LipSync } from "./lipsync";
import { buffered, concealed } from "./readings";
import { FittingPolicy } from "./resolution";
import { type Placed, type Seen, Turns } from "./turns";

/** While the SDK tries to come back it tries often: a recording is waiting. */
const LONGEST_BACK_OFF_MS = 2000;

/** How often it is looked at when pictures were seen. */
const LOOK_MS = 400;

/** Kinds of complaints of the SDK that are passed on. */
const MOST_COMPLAINTS = 200;

/** Ids of what AWS itself puts into a meeting, such as a media pipeline; no customer may have one. */
const OF_AWS = /^aws:/;

export interface Events {
  connecting(isAgain: boolean): void;
  connected(): void;
  stopped(status: string): void;
  present(attendeeId: string, externalUserId: string): void;
  absent(attendeeId: string, dropped: boolean): void;
  volume(attendeeId: string, volume: number | null, muted: boolean | null): void;
  picture(
    tileId: number,
    attendeeId: string,
    externalUserId: string,
    content: boolean,
    stream: MediaStream,
    poor: boolean,
  ): void;
  noPicture(tileId: number): void;
  /** Of how many attendees, shared screens included, there are pictures. */
  pictures(count: number): void;
  /** So much sound had to be made up since the last call, because none came in time. */
  concealed(milliseconds: number): void;
  /** Asks how wide the tiles of these would be, in pixels. */
  expectedWidths(attendeeIds: readonly string[]): ReadonlyMap<string, number>;
  /** Asks whether nothing is to be received that is larger than its tile. */
  isSparing(): boolean;
  /** Asks what was seen since it was asked last. */
  seen(): Seen & Placed;
  quality(quality: "poor" | "good"): void;
  log(level: "warn" | "error", message: string): void;
}

export interface Session {
  self: string;
  fit(widths: ReadonlyMap<string, number>): void;
}

declare global {
  interface Window {
    meetingSession?: DefaultMeetingSession;
  }
}

export async function join(
  meeting: object,
  attendee: object,
  audio: HTMLAudioElement,
  events: Events,
): Promise<Session> {
  const logger = new Forwarder(events.log);
  const configuration = new MeetingSessionConfiguration(meeting, attendee);
  configuration.reconnectLongBackOffMs = LONGEST_BACK_OFF_MS;
  const self = configuration.credentials?.attendeeId ?? "";
  const policy = new FittingPolicy(self, events.expectedWidths, events.isSparing);
  configuration.videoDownlinkBandwidthPolicy = policy;
  const session = new DefaultMeetingSession(configuration, logger, new DefaultDeviceController(logger));
  // The SDK would lead every coded picture and sound through a worker, to count them.
  void session["encodedTransformWorkerManager"]?.["disable"]();
  window.meetingSession = session;
  const { audioVideo } = session;

  const lips = new LipSync();
  const turns = new Turns();
  const concealment = new Concealment();
  const hold = (): void => {
    const { sound, pictures } = lips.hold;
    // Private, but the only way to the receivers.
    const receivers: RTCRtpReceiver[] =
      session["audioVideoController"].rtcPeerConnection?.getReceivers() ?? [];
    for (const receiver of receivers) {
      const { kind, id } = receiver.track;
      receiver.jitterBufferTarget = kind === "audio" ? sound : turns.hold(id, pictures);
    }
  };
  setInterval(() => {
    const seen = events.seen();
    turns.next(seen, lips.hold.pictures);
    lips.shown(seen.shownAfter);
    hold();
  }, LOOK_MS);
  const observer: AudioVideoObserver = {
    audioVideoDidStartConnecting: (isAgain) => events.connecting(isAgain),
    audioVideoDidStart: () => {
      hold();
      events.connected();
    },
    audioVideoDidStop: (status) => {
      // By name: the numbers have changed between versions.
      const code = status.statusCode();
      events.stopped(MeetingSessionStatusCode[code] ?? `status ${code}`);
    },
    remoteVideoSourcesDidChange: (sources) => events.pictures(sources.length),
    videoTileDidUpdate: (tile) => {
      const { tileId, boundAttendeeId: id, boundExternalUserId, boundVideoStream: stream } = tile;
      if (tileId !== null && id && stream && !tile.localTile) {
        events.picture(tileId, id, boundExternalUserId ?? "", tile.isContent, stream, tile.poorConnection);
        hold();
      }
    },
    videoTileWasRemoved: (tileId) => events.noPicture(tileId),
    // Each second, from the one call of getStats that the SDK makes anyhow.
    metricsDidReceive: (metrics) => {
      const report = metrics.getRTCStatsReport();
      lips.next(...buffered(report), turns.age);
      const sound = concealed(report);
      if (sound) {
        events.concealed(concealment.next(...sound));
      }
    },
    connectionDidBecomePoor: () => events.quality("poor"),
    // Instead of that while there are pictures.
    connectionDidSuggestStopVideo: () => events.quality("poor"),
    connectionDidBecomeGood: () => events.quality("good"),
  };
  audioVideo.addObserver(observer);
  audioVideo.realtimeSubscribeToAttendeeIdPresence((id, present, externalUserId, dropped) => {
    if (id === self || id.endsWith("#content") || OF_AWS.test(externalUserId ?? "")) {
      return;
    }
    audioVideo.realtimeUnsubscribeFromVolumeIndicator(id);
    if (present) {
      events.present(id, externalUserId ?? "");
      // At once what was known last, also of who was gone meanwhile and was loud before.
      let isKnown = true;
      audioVideo.realtimeSubscribeToVolumeIndicator(id, (attendeeId, volume, muted) =>
        events.volume(attendeeId, isKnown ? null : volume, muted),
      );
      isKnown = false;
    } else {
      events.absent(id, dropped ?? false);
    }
  });
  await audioVideo.bindAudioElement(audio);
  audioVideo.start();
  return { self, fit: (widths) => policy.fit(widths) };
}

/** Passes on what the SDK complains about; its other words could hold anything. */
class Forwarder implements Logger {
  private readonly said = new Set<string>();

  constructor(private readonly log: Events["log"]) {}

  /** Each complaint once, whatever numbers are in it: some come every second. */
  private pass(level: "warn" | "error", message: string): void {
    const kind = message.replace(/\d+/g, "#");
    if (!this.said.has(kind) && this.said.size < MOST_COMPLAINTS) {
      this.said.add(kind);
      this.log(level, message);
    }
  }

  debug(): void {}
  info(): void {}
  warn(message: string): void {
    this.pass("warn", message);
  }
  error(message: string): void {
    this.pass("error", message);
  }
  setLogLevel(): void {}
  getLogLevel(): LogLevel {
    return LogLevel.WARN;
  }
}

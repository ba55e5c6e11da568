import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BORN, type Happening, type Life, next } from "../src/lifecycle";
import { Meeting } from "../src/meeting";
import { displayName, initials, oneLine } from "../src/names";
import { parameters } from "../src/parameters";
import type { Advice, Message } from "../src/protocol";

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
const address = (entries: Record<string, string>): string => `?${new URLSearchParams(entries)}`;
const joinData = { chimeMeetingData: base64({ MeetingId: "m" }), chimeAttendeeData: base64({ AttendeeId: "a" }) };

describe("parameters", () => {
  // Their base64 holds plus signs and slashes, or letters of several bytes.
  for (const id of ["a~b", "a>b>c", "??>>??", "é", "a b", "~".repeat(64), "þþþ", "会議"]) {
    test(`the id ${id} survives, escaped or not`, () => {
      const meeting = base64({ MeetingId: id });
      const attendee = base64({ Attendee: { ExternalUserId: id } });
      const escaped = parameters(address({ chimeMeetingData: meeting, chimeAttendeeData: attendee }));
      const raw = parameters(`?chimeMeetingData=${meeting}&chimeAttendeeData=${attendee.replace(/=+$/, "")}`);
      for (const given of [escaped, raw]) {
        expect(given.meeting).toEqual({ MeetingId: id });
        expect(given.attendee).toEqual({ ExternalUserId: id });
      }
    });
  }

  test("what is not said has a default", () => {
    const given = parameters(address(joinData));
    expect(given).toMatchObject({ names: {}, mode: "grid", clock: false, theme: "dark" });
    expect(given.worker).toBeUndefined();
  });

  test("what is wrong is named, and never shown", () => {
    const marker = "MARKER";
    for (const [change, name] of [
      [{ chimeMeetingData: marker }, "chimeMeetingData"],
      [{ chimeAttendeeData: base64([marker]) }, "chimeAttendeeData"],
      [{ layout: marker }, "layout"],
      [{ names: "%" }, "names"],
    ] as const) {
      const given = address({ ...joinData, ...change });
      expect(() => parameters(given)).toThrowError(name);
      expect(() => parameters(given)).not.toThrowError(marker);
    }
    expect(() => parameters("")).toThrowError("chimeMeetingData is missing");
  });
});

describe("names", () => {
  test("are looked up, else the display part of the external id", () => {
    const names = { a: "Alice", "ext#Bob": "Robert" };
    expect(displayName("a", "ext#A", names)).toBe("Alice");
    expect(displayName("b", "ext#Bob", names)).toBe("Robert");
    expect(displayName("c", "8c1f#Chloé", names)).toBe("Chloé");
    expect(displayName("d", "plain", names)).toBe("plain");
    expect(displayName("e", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", names)).toBe("Guest");
    expect(displayName("f", "x#", names)).toBe("Guest");
    expect(displayName("constructor", "toString", names)).toBe("toString");
  });

  test("of strangers stay one short line", () => {
    expect(oneLine("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>");
    expect(oneLine("a\n\tb\u0000c\u202edcba\u2066")).toBe("a b c dcba");
    expect([...oneLine("👩‍💻".repeat(5000))]).toHaveLength(120);
    expect(oneLine("x".repeat(10_000))).toHaveLength(120);
  });

  test("have initials in any script", () => {
    for (const [name, expected] of [
      ["Alice", "A"],
      ["Dr. Ada M. Lovelace", "DL"],
      ["élise ó brien", "ÉB"],
      ["山田 太郎", "山太"],
      ["<b>", "B"],
      ["👍", "?"],
    ] as const) {
      expect(initials(name)).toBe(expected);
    }
  });
});

describe("lifecycle", () => {
  const play = (...happenings: Happening[]): Life => happenings.reduce(next, BORN);
  const joining: Happening = { kind: "joining" };
  const joined: Happening = { kind: "joined" };
  const drawn: Happening = { kind: "drawn" };
  const interrupted: Happening = { kind: "interrupted" };
  const stopped = (status: string): Happening => ({ kind: "stopped", status });

  test("live means joined and drawn, in this order", () => {
    expect(play(joining, drawn).state.state).toBe("joining");
    expect(play(joining, joined).state.state).toBe("joining");
    expect(play(joining, joined, drawn).state.state).toBe("live");
  });

  test("an interruption ends with the next join", () => {
    expect(play(joining, joined, drawn, interrupted).state.state).toBe("reconnecting");
    expect(play(joining, joined, drawn, interrupted, joined).state.state).toBe("live");
    expect(play(joining, interrupted).state.state).toBe("joining");
  });

  test("decisions end it, everything else fails it, and both are final", () => {
    for (const status of ["MeetingEnded", "AudioAttendeeRemoved", "AudioAuthenticationRejected"]) {
      expect(play(joining, stopped(status)).state).toEqual({ state: "ended", reason: status });
    }
    for (const status of ["TaskFailed", "SignalingBadRequest", "status 99"]) {
      expect(play(joining, joined, drawn, stopped(status)).state).toEqual({ state: "failed", reason: status });
    }
    expect(play(stopped("MeetingEnded"), joining, joined, drawn, stopped("TaskFailed")).state).toEqual({
      state: "ended",
      reason: "MeetingEnded",
    });
    expect(play({ kind: "broken", reason: "no" }).state).toEqual({ state: "failed", reason: "no" });
  });
});

describe("meeting", () => {
  const stream = {} as MediaStream;

  test("who is loud speaks, holds on for a pause, and is silent when muted", () => {
    const meeting = new Meeting({});
    meeting.join("a", "x#A");
    meeting.join("b", "x#B");
    meeting.hear("a", 0.6, null, 0);
    meeting.hear("b", 0.9, null, 0);
    expect(meeting.speakers(0)).toEqual(["b", "a"]);
    meeting.hear("b", 0, null, 100);
    expect(meeting.speakers(500)).toEqual(["b", "a"]);
    expect(meeting.speakers(1000)).toEqual(["a"]);
    expect(meeting.hear("a", null, true, 1000)).toBe(true);
    expect(meeting.hear("a", null, true, 1000)).toBe(false);
    expect(meeting.speakers(1000)).toEqual([]);
  });

  test("who leads does so through pauses, and until somebody else is louder for two seconds", () => {
    const meeting = new Meeting({});
    for (const id of ["a", "b", "c"]) {
      meeting.join(id, `x#${id}`);
    }
    const lead = (now: number, volumes: Record<string, number>): string | undefined => {
      for (const id of ["a", "b", "c"]) {
        meeting.hear(id, volumes[id] ?? 0, null, now);
      }
      expect(meeting.speakers(now)[0] ?? meeting.leader).toBe(meeting.leader);
      return meeting.leader;
    };
    expect(lead(0, {})).toBeUndefined();
    expect(lead(200, { b: 0.6 })).toBe("b");
    expect(lead(5000, {}), "a pause").toBe("b");
    expect(meeting.speakers(5000)).toEqual([]);
    expect(lead(6000, { b: 0.5 })).toBe("b");
    // Two who talk at once.
    for (let now = 6200; now < 20_000; now += 200) {
      expect(lead(now, { b: 0.5, c: (now / 200) % 9 === 0 ? 0.3 : 0.9 }), `${now}`).toBe("b");
      expect(meeting.speakers(now)).toEqual(["b", "c"]);
    }
    expect(lead(20_000, { a: 0.9, b: 0.5 })).toBe("b");
    expect(lead(21_800, { a: 0.9, b: 0.5 })).toBe("b");
    expect(lead(22_000, { a: 0.9, b: 0.5 })).toBe("a");
    expect(meeting.speakers(22_000)).toEqual(["a", "b"]);
    // Who falls silent makes room for whoever speaks.
    expect(lead(23_000, { c: 0.3 })).toBe("c");
    meeting.leave("c");
    expect(lead(24_000, { a: 0.3 })).toBe("a");
  });

  test("screens come first, people stay in the order of arrival", () => {
    const meeting = new Meeting({});
    meeting.join("a", "x#A");
    meeting.join("b", "x#B");
    meeting.show(2, "b", "x#B", false, stream, true);
    meeting.show(3, "a#content", "", true, stream, false);
    meeting.join("a", "x#A");
    const tiles = meeting.tiles(["a"]);
    expect(tiles.map((tile) => tile.name)).toEqual(["A – screen", "A", "B"]);
    expect(tiles.map((tile) => [tile.speaking, tile.poor, tile.stream !== undefined])).toEqual([
      [false, false, true],
      [true, false, false],
      [false, true, true],
    ]);
    meeting.leave("b");
    expect(meeting.tiles([])).toHaveLength(2);
  });

  test("who joined without sound is there for as long as their picture is", () => {
    const meeting = new Meeting({});
    const named = () => meeting.tiles([]).map((tile) => tile.name);
    expect(meeting.show(1, "a", "x#A", false, stream, false)?.name).toBe("A");
    expect(meeting.show(1, "a", "x#A", false, stream, true)).toBeUndefined();
    meeting.join("b", "x#B");
    expect(named()).toEqual(["A", "B"]);
    meeting.hide(1, true);
    expect(named()).toEqual(["A", "B"]);
    expect(meeting.forgetStale()).toEqual(["a"]);
    expect(named()).toEqual(["B"]);
    // With a picture, then with sound, too: the roster tells when they leave.
    meeting.show(2, "c", "x#C", false, stream, false);
    meeting.join("c", "x#C");
    expect(meeting.hide(2, false)).toEqual([]);
    expect(named()).toEqual(["B", "C"]);
    // The picture of who has left comes to its end by itself.
    meeting.leave("b");
    expect(meeting.show(3, "b", "x#B", false, stream, false)).toBeUndefined();
    expect(named()).toEqual(["C"]);
  });

  test("a picture that is lost with the connection stays until it is replaced", () => {
    const meeting = new Meeting({});
    meeting.join("a", "x#A");
    meeting.show(1, "a", "x#A", false, stream, false);
    meeting.hide(1, true);
    expect(meeting.tiles([])[0]?.stream).toBe(stream);
    meeting.show(7, "a", "x#A", false, {} as MediaStream, false);
    meeting.forgetStale();
    expect(meeting.tiles([])[0]?.stream).toBeDefined();
    meeting.hide(7, true);
    meeting.forgetStale();
    expect(meeting.tiles([])[0]?.stream).toBeUndefined();
  });
});

describe("contract", () => {
  test("the page hears what the recorder says", () => {
    const examples = JSON.parse(readFileSync("contract/recorder.v1.json", "utf8")) as unknown[];
    const advice: Advice[] = [
      { type: "processorsShort" },
      { type: "processorsSuffice" },
      { type: "rhythm", drawnUs: 1795824000020500, shownUs: 1795824000008000 },
    ];
    expect(examples).toEqual(advice);
  });

  test("the examples are messages that this page can send", () => {
    const examples = JSON.parse(readFileSync("contract/worker.v1.json", "utf8")) as unknown[];
    // One of every kind, typed: a change on either side no longer compiles or no longer matches.
    const messages: Message[] = [
      { type: "hello", version: 1 },
      { type: "state", state: "loading" },
      { type: "state", state: "joining" },
      { type: "state", state: "live" },
      { type: "state", state: "reconnecting" },
      { type: "state", state: "ended", reason: "MeetingEnded" },
      { type: "state", state: "failed", reason: "TaskFailed" },
      { type: "joined", attendeeId: "a-1", externalUserId: "customer#Alice", name: "Alice" },
      { type: "left", attendeeId: "a-1", dropped: false },
      { type: "muted", attendeeId: "a-1", muted: true },
      { type: "speakers", attendeeIds: ["a-2", "a-1"] },
      {
        type: "tiles",
        tiles: [
          { attendeeId: "a-1", content: false, width: 960, height: 540 },
          { attendeeId: "a-2", content: true, width: 1440, height: 810 },
        ],
      },
      { type: "connection", quality: "poor" },
      { type: "connection", quality: "good" },
      { type: "heartbeat", frames: 1234, concealedMs: 40 },
      { type: "log", level: "warn", message: "The signaling connection was slow." },
      { type: "log", level: "error", message: "The sound could not be played." },
    ];
    expect(examples).toEqual(messages);
  });
});

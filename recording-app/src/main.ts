// The page: reads its address, joins, shows the meeting, and tells the recorder.
// The only place where all the others meet.

import { layout, type Rectangle, type Shown } from "./layout";
import { BORN, type Happening, next } from "./lifecycle";
import { Meeting } from "./meeting";
import { oneLine } from "./names";
import { ParameterError, type Parameters, parameters } from "./parameters";
import type { Advice, Message, TileMessage } from "./protocol";
import { join, type Session } from "./session";
import { type Placed, type Rhythm, type Seen, shownAfter, turnLength } from "./turns";
import type { Tile } from "./view";
import { View } from "./view";
import { connect, NOBODY } from "./worker";

const GAP = 12;

/** A tile's first picture is in the window so many turns after the page heard of it. */
const TURNS_TO_PAINT = 2;
/** How long the first pictures are waited for. */
const GRACE_MS = 2000;

/** How long a picture from before a reconnection may stand in for the new one. */
const STALE_MS = 4000;

const PULSE_MS = 200;
const HEARTBEAT_MS = 1000;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

class Page {
  private readonly meeting: Meeting;
  private readonly view = new View(element("stage"));
  private readonly audio = element<HTMLAudioElement>("meeting-audio");
  private readonly worker;
  private life = BORN;
  private session: Session | undefined;
  private expected = 0;
  private frames = 0;
  /** When the browser composed, since that was asked last. */
  private turns: number[] = [];
  private concealedMs = 0;
  private speakers: string[] = [];
  private told = { tiles: "[]", speakers: "[]" };
  private drawing = false;
  /** Nothing is to be received larger than it is drawn. */
  private isSparing = false;
  /** When pictures are shown, as the recorder told since that was asked last. */
  private rhythm: Rhythm | undefined;

  constructor(private readonly given: Parameters) {
    this.meeting = new Meeting(given.names);
    this.worker = given.worker ? connect(given.worker, () => this.snapshot(), (advice) => this.advised(advice)) : NOBODY;
    this.tell({ type: "state", state: "loading" });
    setInterval(() => this.tell({ type: "heartbeat", frames: this.frames, concealedMs: this.concealedMs }), HEARTBEAT_MS);
    setInterval(() => this.listen(), PULSE_MS);
    const count = (now: number): void => {
      this.frames += 1;
      if (this.session) {
        this.turns.push(now);
      }
      requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
    window.addEventListener("resize", () => this.draw());
    this.audio.addEventListener("playing", () => this.sound());
  }

  async start(): Promise<void> {
    this.happen({ kind: "joining" });
    this.draw();
    this.session = await join(this.given.meeting, this.given.attendee, this.audio, {
      connecting: (isAgain) => {
        if (isAgain) {
          this.happen({ kind: "interrupted" });
        }
      },
      connected: () => this.sound(true),
      stopped: (status) => this.happen({ kind: "stopped", status }),
      present: (id, externalUserId) => {
        const { name } = this.meeting.join(id, externalUserId);
        this.tell({ type: "joined", attendeeId: id, externalUserId, name });
        this.draw();
      },
      absent: (id, dropped) => {
        this.meeting.leave(id);
        this.tell({ type: "left", attendeeId: id, dropped });
        this.draw();
      },
      volume: (id, volume, muted) => {
        if (this.meeting.hear(id, volume, muted, performance.now())) {
          this.tell({ type: "muted", attendeeId: id, muted: muted === true });
          this.draw();
        }
      },
      picture: (tileId, id, externalUserId, content, stream, poor) => {
        const joined = this.meeting.show(tileId, id, externalUserId, content, stream, poor);
        if (joined) {
          this.tell({ type: "joined", attendeeId: id, externalUserId, name: joined.name });
        }
        this.draw();
      },
      noPicture: (tileId) => {
        this.left(this.meeting.hide(tileId, this.life.state.state === "reconnecting"));
      },
      pictures: (count) => {
        this.expected = count;
      },
      concealed: (milliseconds) => {
        this.concealedMs += milliseconds;
      },
      expectedWidths: (ids) => this.expectedWidths(ids),
      isSparing: () => this.isSparing,
      seen: () => this.seen(),
      quality: (quality) => this.tell({ type: "connection", quality }),
      log: (level, message) => this.tell({ type: "log", level, message }),
    });
    // Whatever was drawn before could not be fitted yet.
    this.draw();
  }

  private connected = false;
  /** Until pictures from before a reconnection are forgotten. */
  private staleTimer: ReturnType<typeof setTimeout> | undefined;

  /** The SDK is connected, or the sound has begun to play: together it has joined. */
  private sound(connected = this.connected): void {
    this.connected = connected;
    const isPlaying = !this.audio.paused && this.audio.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    if (!connected) {
      return;
    }
    if (!isPlaying) {
      // Only a person can allow it in an ordinary browser; a recorder has allowed it.
      element("unmute").hidden = this.given.worker !== undefined || !this.audio.paused;
      return;
    }
    element("unmute").hidden = true;
    const wasAgain = this.life.state.state === "reconnecting";
    this.happen({ kind: "joined" });
    if (wasAgain) {
      this.staleTimer = setTimeout(() => this.left(this.meeting.forgetStale()), STALE_MS);
    } else {
      this.awaitPictures(performance.now() + GRACE_MS);
    }
  }

  /** Those who were there by their pictures only, of which some are gone. */
  private left(attendeeIds: readonly string[]): void {
    for (const attendeeId of attendeeIds) {
      this.tell({ type: "left", attendeeId, dropped: false });
    }
    this.draw();
  }

  private awaitPictures(until: number, turns = TURNS_TO_PAINT): void {
    const isThere = this.view.pictures >= this.expected && this.view.pictures > 0;
    if ((isThere && turns === 0) || performance.now() >= until) {
      this.happen({ kind: "drawn" });
    } else {
      requestAnimationFrame(() => this.awaitPictures(until, isThere ? turns - 1 : TURNS_TO_PAINT));
    }
  }

  happen(happening: Happening): void {
    const life = next(this.life, happening);
    const changed = life.state !== this.life.state;
    this.life = life;
    if (changed) {
      if (life.state.state === "reconnecting") {
        this.connected = false;
        // What is there stays until this reconnection, too, is over.
        clearTimeout(this.staleTimer);
      }
      this.tell({ type: "state", ...life.state });
      // For the recorder nobody speaks while the meeting cannot be heard; who does is told anew.
      this.speakers = [];
      this.told.speakers = "";
      this.draw();
    }
  }

  private listen(): void {
    // Volumes stay as they were while the meeting cannot be heard.
    const isHeard = this.life.state.state !== "reconnecting";
    this.speakers = isHeard ? this.meeting.speakers(performance.now()) : [];
    const speakers = JSON.stringify(this.speakers);
    if (speakers !== this.told.speakers) {
      this.told.speakers = speakers;
      this.tell({ type: "speakers", attendeeIds: this.speakers });
      this.draw();
    }
    if (this.given.clock) {
      element("clock").textContent = new Date().toLocaleTimeString("en-GB");
    }
  }

  /** Once for all that happens in one turn. */
  private draw(): void {
    if (!this.drawing) {
      this.drawing = true;
      queueMicrotask(() => {
        this.drawing = false;
        this.drawNow();
      });
    }
  }

  private drawNow(): void {
    const tiles = this.meeting.tiles(this.speakers);
    const places = this.places(tiles);
    this.view.render(tiles, places);
    this.notice();
    const drawn = tiles.filter((tile) => tile.stream);
    this.session?.fit(widths(drawn, places));
    const messages = drawn.flatMap((tile) => message(tile, places));
    const text = JSON.stringify(messages);
    if (text !== this.told.tiles) {
      this.told.tiles = text;
      this.tell({ type: "tiles", tiles: messages });
    }
  }

  /** As if these had tiles, beside those that have. */
  private expectedWidths(attendeeIds: readonly string[]): Map<string, number> {
    const known = this.meeting.tiles(this.speakers);
    const others = attendeeIds.filter((id) => !known.some((tile) => tile.id === id));
    const tiles = [...known, ...others.map((id) => ({ id, content: id.endsWith("#content"), stream: true }))];
    return widths(tiles, this.places(tiles));
  }

  private places(tiles: readonly Shown[]): Map<string, Rectangle> {
    return layout(tiles, { ...this.view.size, gap: GAP, mode: this.given.mode, speaker: this.meeting.leader });
  }

  private notice(): void {
    const notice = element("notice");
    const { state } = this.life;
    const hasTiles = !this.meeting.isEmpty;
    const texts: Record<typeof state.state, string> = {
      loading: "",
      joining: "",
      live: hasTiles ? "" : "Waiting for participants",
      reconnecting: "Reconnecting …",
      ended: "The meeting has ended",
      failed: "The meeting cannot be shown",
    };
    notice.textContent = texts[state.state];
    notice.dataset["over"] = hasTiles ? "tiles" : "nothing";
  }

  private seen(): Seen & Placed {
    const turns = this.turns.splice(0);
    const [turn, rhythm] = [turnLength(turns), this.rhythm];
    this.rhythm = undefined;
    const after = rhythm && turn ? shownAfter(rhythm, turns, turn) : undefined;
    return { ages: this.view.takeAges(), turn, shownAfter: after };
  }

  private advised(advice: Advice): void {
    if (advice.type === "rhythm") {
      const here = (us: number): number => us / 1000 - performance.timeOrigin;
      this.rhythm = { drawn: here(advice.drawnUs), shown: here(advice.shownUs) };
    } else if (advice.type === "processorsShort" || advice.type === "processorsSuffice") {
      this.isSparing = advice.type === "processorsShort";
      this.draw();
    }
  }

  private tell(message: Message): void {
    this.worker.send(message);
  }

  private snapshot(): Message[] {
    const people = this.meeting.everybody().flatMap(([attendeeId, person]): Message[] => {
      const { externalUserId, name, muted } = person;
      return [
        { type: "joined", attendeeId, externalUserId, name },
        { type: "muted", attendeeId, muted },
      ];
    });
    return [
      ...people,
      { type: "speakers", attendeeIds: this.speakers },
      { type: "tiles", tiles: JSON.parse(this.told.tiles) as TileMessage[] },
      { type: "state", ...this.life.state },
    ];
  }

  unmute(): void {
    void this.audio.play();
  }
}

function widths(tiles: readonly { id: string }[], places: ReadonlyMap<string, Rectangle>): Map<string, number> {
  return new Map(tiles.map((tile) => [tile.id, (places.get(tile.id)?.width ?? 0) * devicePixelRatio]));
}

function message(tile: Tile, places: ReadonlyMap<string, Rectangle>): TileMessage[] {
  const place = places.get(tile.id);
  if (!place) {
    return [];
  }
  const { width, height } = place;
  return [{ attendeeId: tile.id.replace(/#content$/, ""), content: tile.content, width, height }];
}

function show(given: Parameters): Page {
  document.documentElement.dataset["theme"] = given.theme;
  if (given.title !== undefined || given.clock) {
    element("header").hidden = false;
    element("title").textContent = oneLine(given.title ?? "");
  }
  const page = new Page(given);
  element("unmute").addEventListener("click", () => page.unmute());
  return page;
}

function main(): void {
  let given: Parameters;
  try {
    given = parameters(location.search);
  } catch (error) {
    const reason = error instanceof ParameterError ? error.message : "the page's address cannot be read";
    element("notice").textContent = `The meeting cannot be joined: ${reason}`;
    const worker = new URLSearchParams(location.search).get("worker");
    if (worker !== null) {
      connect(worker, () => [], () => undefined).send({ type: "state", state: "failed", reason });
    }
    return;
  }
  const page = show(given);
  page.start().catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : "the session cannot be started";
    page.happen({ kind: "broken", reason });
  });
}

main();

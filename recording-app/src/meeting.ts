// Who and what is in the meeting, as the page shows it. Pure state: what happens
// goes in, tiles come out. It must not know the SDK or the DOM.

import { displayName } from "./names";
import type { Tile } from "./view";

/** A voice louder than this speaks; 1 is as loud as can be. */
const SPEAKS = 0.2;

/** Pauses between words are no silence. */
const HOLD_MS = 800;

/** Who is louder than the one who leads for so long leads instead. */
const LEAD_MS = 2000;

interface Person {
  externalUserId: string;
  name: string;
  muted: boolean;
  volume: number;
  /** When they were last loud. */
  spoke: number;
  /** Joined without sound: there for as long as their picture is. */
  seenOnly: boolean;
}

interface Picture {
  tileId: number;
  content: boolean;
  stream: MediaStream;
  poor: boolean;
  /** Its session is gone; a new one may bring it back. */
  stale: boolean;
}

export class Meeting {
  private readonly people = new Map<string, Person>();
  /** Who has been in the roster, which is of all who have joined with sound. */
  private readonly listed = new Set<string>();
  /** By attendee id; that of a shared screen ends in `#content`. */
  private readonly pictures = new Map<string, Picture>();

  /** Who is large in the speaker view: who speaks, or spoke last. */
  leader: string | undefined;
  /** Who is louder than they are, and since when. */
  private louder: { id: string; since: number } | undefined;

  constructor(private readonly names: Readonly<Record<string, string>>) {}

  join(id: string, externalUserId: string): Person {
    this.listed.add(id);
    return this.add(id, externalUserId, false);
  }

  private add(id: string, externalUserId: string, seenOnly: boolean): Person {
    const known = this.people.get(id);
    const name = displayName(id, externalUserId, this.names);
    const person = { muted: false, volume: 0, spoke: Number.NEGATIVE_INFINITY, ...known, externalUserId, name, seenOnly };
    this.people.set(id, person);
    return person;
  }

  leave(id: string): void {
    this.people.delete(id);
  }

  /** Returns whether they have been muted or unmuted. */
  hear(id: string, volume: number | null, muted: boolean | null, now: number): boolean {
    const person = this.people.get(id);
    if (!person) {
      return false;
    }
    person.volume = volume ?? person.volume;
    const changed = muted !== null && muted !== person.muted;
    person.muted = muted ?? person.muted;
    if (person.volume > SPEAKS && !person.muted) {
      person.spoke = now;
    }
    return changed;
  }

  /**
   * Who speaks: first the leader, then the others in the order of arrival. The loudest leads, but
   * pauses and two who talk at once make nobody's tile jump.
   */
  speakers(now: number): string[] {
    for (const person of this.people.values()) {
      // A volume that does not change is not told again.
      if (person.volume > SPEAKS && !person.muted) {
        person.spoke = now;
      }
    }
    const speaking = [...this.people].filter(([, person]) => now - person.spoke < HOLD_MS && !person.muted);
    const [loudest] = speaking.toSorted(([, a], [, b]) => b.volume - a.volume).map(([id]) => id);
    const ids = speaking.map(([id]) => id);
    if (loudest === undefined) {
      this.louder = undefined;
      return [];
    }
    const leader = this.lead(loudest, ids, now);
    return [leader, ...ids.filter((id) => id !== leader)];
  }

  /** Who leads of those who speak. */
  private lead(loudest: string, speaking: readonly string[], now: number): string {
    if (this.leader === undefined || !speaking.includes(this.leader)) {
      this.leader = loudest;
    }
    if (loudest === this.leader) {
      this.louder = undefined;
    } else if (this.louder?.id !== loudest) {
      this.louder = { id: loudest, since: now };
    } else if (now - this.louder.since >= LEAD_MS) {
      this.leader = loudest;
      this.louder = undefined;
    }
    return this.leader;
  }

  /** Returns whose picture it is if that is how they join: no roster tells of them. */
  show(
    tileId: number,
    id: string,
    externalUserId: string,
    content: boolean,
    stream: MediaStream,
    poor: boolean,
  ): Person | undefined {
    this.pictures.set(id, { tileId, content, stream, poor, stale: false });
    // Whoever has left the roster may have a picture for a moment longer.
    const isKnown = this.people.has(id) || this.listed.has(id);
    return content || isKnown ? undefined : this.add(id, externalUserId, true);
  }

  /** `keep` leaves its last frame until [`Meeting.forgetStale`]. Returns who has left by that. */
  hide(tileId: number, keep: boolean): string[] {
    const hidden = [...this.pictures].filter(([, picture]) => picture.tileId === tileId && !picture.stale);
    if (keep) {
      for (const [, picture] of hidden) {
        picture.stale = true;
      }
      return [];
    }
    return this.forget(hidden);
  }

  /** Returns who has left by that. */
  forgetStale(): string[] {
    return this.forget([...this.pictures].filter(([, picture]) => picture.stale));
  }

  private forget(pictures: readonly [string, Picture][]): string[] {
    const ids = pictures.map(([id]) => id);
    for (const id of ids) {
      this.pictures.delete(id);
    }
    const left = ids.filter((id) => this.people.get(id)?.seenOnly);
    for (const id of left) {
      this.people.delete(id);
    }
    return left;
  }

  person(id: string): Person | undefined {
    return this.people.get(id);
  }

  everybody(): [string, Person][] {
    return [...this.people];
  }

  get isEmpty(): boolean {
    return this.people.size === 0 && this.pictures.size === 0;
  }

  /** Shared screens, then people, each in the order of arrival. */
  tiles(speakers: readonly string[]): Tile[] {
    const shares = [...this.pictures].filter(([, picture]) => picture.content);
    const screens = shares.map(([id, picture]) => {
      const owner = this.people.get(id.replace(/#content$/, ""));
      const name = owner ? `${owner.name} – screen` : "Screen";
      return { id, name, content: true, muted: false, speaking: false, poor: picture.poor, stream: picture.stream };
    });
    const people = [...this.people].map(([id, person]) => {
      const picture = this.pictures.get(id);
      return {
        id,
        name: person.name,
        content: false,
        muted: person.muted,
        speaking: speakers.includes(id),
        poor: picture?.poor ?? false,
        stream: picture?.stream,
      };
    });
    return [...screens, ...people];
  }
}

// How long sound and pictures are held in the browser's jitter buffers. They come in
// streams that know nothing of each other, so the browser plays each as early as its own
// network lets it: a lip would move before its voice is heard. Pure: counts go in, times
// come out. It must not know the SDK or WebRTC.

/**
 * How long the sound is held, in ms, where nobody needs longer. Nobody answers a recording, so
 * it can wait for packets that are late, and for a busy machine, longer than a conversation
 * could.
 */
export const SOUND_HOLD_MS = 76;

/**
 * So much more or less it is held to be in step: a picture is seen in a turn of the browser, which
 * may be 0.7 of one away from what pictures are held for (`turns.ts`), and they are held as before
 * until that is to move by `LEAST_STEP_MS.pictures`.
 */
const EITHER_WAY_MS = 36;

/**
 * So much longer than the network makes the sound wait all are held, because it may have to be held
 * less. Not by all of `EITHER_WAY_MS`: pictures would move for each small delay.
 */
const MORE_THAN_LEAST_MS = 24;

/**
 * From its buffer sound goes so far until it is in the recording, in ms (docs/encoding.md tells
 * how it was chosen). Not read at run time: an `AudioContext` alone tells most of it, and of 18
 * meetings in which one did, one stood still for some seconds.
 */
const SOUND_WAY_MS = 41;

/** So long after its turn a picture is shown, in ms, as long as nobody tells. */
const SHOWN_AFTER_MS = -8;

/** Of so many times that were told the middle one counts. */
const TOLD = 5;

/** From its buffer sound has so much farther to go than a picture from its turn, at first. */
export const FARTHER_MS = SOUND_WAY_MS - SHOWN_AFTER_MS;

/** Neither waits longer for the other: who has such a connection is late anyway. */
const LONGEST_HOLD_MS = 500;

/**
 * What moves by less than this stays as it is, and nothing moves by more in one reading: a
 * picture that is to be held longer stands still meanwhile.
 */
const LEAST_STEP_MS = { sound: 3, pictures: 12 };
const MOST_STEP_MS = 20;

/**
 * The browser's buffer leaves sound alone that has up to 20 ms more than its target, and as much
 * again as packets came late in the last two seconds (`DecisionLogic` of WebRTC's NetEq). By its
 * statistics, which do not count what has left it and is not played yet, that begins some 18 ms
 * below the target, as recordings showed. What is farther than this from the target is pushed, by one so much beyond;
 * with less sound would go to and fro, because it moves by up to 15 ms at once.
 */
const FAR_MS = 13;
const PUSH_MS = 15;

/** Readings for which all wait for who was slow, and may be so again. */
const MEMORY = 30;

/** Sums since the beginning of a stream, in seconds, as `getStats` has them. */
export interface Buffered {
  /** Time in the jitter buffer, over all that has left it. */
  delay: number;
  /** How much has left it. */
  count: number;
  /** The same time, had the network alone decided. */
  least: number;
  /** Time from the first packet to the decoded picture, over all pictures. */
  processing: number;
  /** How many pictures have been decoded. */
  decoded: number;
}

const NOTHING: Buffered = { delay: 0, count: 0, least: 0, processing: 0, decoded: 0 };

/** What is to be in step, in ms. */
export interface Hold {
  /** The target of the sound's buffer. */
  sound: number;
  /** How old pictures should be when they are seen, half a turn either way. */
  pictures: number;
}

export class LipSync {
  private readonly before = new Map<string, Buffered>();
  /** How long whoever was the slowest took, in the last readings. */
  private readonly slowest: number[] = [];
  /** How long after their turns pictures were shown, as it was told lately. */
  private readonly after: number[] = [];
  /** How long sound should stay in its buffer. */
  private stay = SOUND_HOLD_MS;
  private held: Hold = { sound: SOUND_HOLD_MS, pictures: SOUND_HOLD_MS + FARTHER_MS };

  get hold(): Hold {
    return this.held;
  }

  /** How long after its turn a picture is shown, if that was told. */
  shown(after: number | undefined): void {
    if (after !== undefined) {
      this.after.push(after);
      this.after.splice(0, this.after.length - TOLD);
    }
  }

  private get farther(): number {
    const after = [...this.after].sort((one, other) => one - other);
    return SOUND_WAY_MS - (after[after.length >> 1] ?? SHOWN_AFTER_MS);
  }

  /**
   * With each reading of the sound's stream and the pictures', by their names, and how old the
   * pictures have been in their turns.
   */
  next(
    sound: readonly [string, Buffered] | undefined,
    pictures: ReadonlyMap<string, Buffered>,
    age: number | undefined,
  ): Hold {
    const heard = sound && this.since(...sound);
    const seen = [...pictures].flatMap(([id, one]) => this.since(id, one) ?? []);
    this.forget(sound ? [sound[0], ...pictures.keys()] : [...pictures.keys()]);
    // Whoever needs the longest decides for all: decoding is within the time that a picture
    // is held.
    // At first the browser waits for 80 ms of it, whatever the network is like.
    const least = heard && !heard.isNew ? heard.least + MORE_THAN_LEAST_MS : 0;
    this.slowest.push(Math.max(least, ...seen.map((one) => one.least + one.decoding)));
    this.slowest.splice(0, this.slowest.length - MEMORY);
    const needed = Math.min(Math.max(SOUND_HOLD_MS, ...this.slowest), LONGEST_HOLD_MS);
    // As late as pictures are, so late the sound should be.
    const { farther } = this;
    const wanted = age === undefined ? needed : age - farther;
    const inStep = Math.min(Math.max(wanted, needed - EITHER_WAY_MS), needed + EITHER_WAY_MS);
    this.stay = moved(this.stay, inStep, LEAST_STEP_MS.sound);
    const early = heard ? this.stay - heard.delay : 0;
    const push = Math.abs(early) > FAR_MS ? Math.sign(early) * PUSH_MS : 0;
    this.held = {
      sound: this.stay + push,
      pictures: moved(this.held.pictures, needed + farther, LEAST_STEP_MS.pictures),
    };
    return this.held;
  }

  /** Means since the last reading, in ms; nothing for a stream that stood still. */
  private since(
    id: string,
    now: Buffered,
  ): { delay: number; least: number; decoding: number; isNew: boolean } | undefined {
    const known = this.before.get(id) ?? NOTHING;
    const sums = Object.keys(NOTHING) as (keyof Buffered)[];
    // One that was begun anew counts from zero again.
    const before = sums.some((sum) => now[sum] < known[sum]) ? NOTHING : known;
    this.before.set(id, now);
    const count = now.count - before.count;
    if (count === 0) {
      return undefined;
    }
    const mean = (sum: "delay" | "least"): number => (1000 * (now[sum] - before[sum])) / count;
    const decoded = now.decoded - before.decoded;
    const processing = decoded > 0 ? (1000 * (now.processing - before.processing)) / decoded : 0;
    const delay = mean("delay");
    return { delay, least: mean("least"), decoding: Math.max(processing - delay, 0), isNew: before === NOTHING };
  }

  private forget(known: readonly string[]): void {
    for (const id of this.before.keys()) {
      if (!known.includes(id)) {
        this.before.delete(id);
      }
    }
  }
}

function moved(from: number, to: number, least: number): number {
  const way = to - from;
  if (Math.abs(way) < least) {
    return from;
  }
  return Math.round(from + Math.sign(way) * Math.min(Math.abs(way), MOST_STEP_MS));
}

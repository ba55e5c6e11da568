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
 * So much more or less it is held to be in step: pictures are seen in turns of the browser, and
 * the sound follows the turn that they have got. Hardly more than half a turn.
 */
const EITHER_WAY_MS = 24;

/**
 * From its buffer sound has farther to go than a picture has from its turn of the browser, by
 * so much, in ms. Measured (docs/encoding.md): Firefox has 34 ms of sound on their way to the
 * recorder's sound server; the rest is that a turn takes less than the half slot by which the
 * recorder shows a picture before it was drawn. Not read at run time: an `AudioContext` alone
 * tells it, and of 18 meetings in which one did, one stood still for some seconds.
 */
export const FARTHER_MS = 38;

/** Neither waits longer for the other: who has such a connection is late anyway. */
const LONGEST_HOLD_MS = 500;

/**
 * What moves by less than this stays as it is, and nothing moves by more in one reading: a
 * picture that is to be held longer stands still meanwhile.
 */
const LEAST_STEP_MS = { sound: 3, pictures: 12 };
const MOST_STEP_MS = 20;

/** This part of what sound and pictures are apart is made up for in one reading. */
const PART = 0.5;

/** Readings for which the sound waits for a picture that was slow, and may be so again. */
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
  /** How long the sound is to be held. */
  sound: number;
  /** How old pictures should be when they are seen, half a turn either way. */
  pictures: number;
}

export class LipSync {
  private readonly before = new Map<string, Buffered>();
  /** How long the slowest picture took, in the last readings. */
  private readonly slowest: number[] = [];
  private held: Hold = { sound: SOUND_HOLD_MS, pictures: SOUND_HOLD_MS + FARTHER_MS };

  get hold(): Hold {
    return this.held;
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
    this.slowest.push(Math.max(0, ...seen.map((one) => one.least + one.decoding)));
    this.slowest.splice(0, this.slowest.length - MEMORY);
    // Whoever needs the longest decides for all: decoding is within the time that a picture
    // is held.
    const needed = Math.min(Math.max(SOUND_HOLD_MS, heard?.least ?? 0, ...this.slowest), LONGEST_HOLD_MS);
    // As late as pictures are, so late the sound should be; while it stands still nobody knows.
    const early = heard && age !== undefined ? age - FARTHER_MS - heard.delay : 0;
    const wanted = age === undefined ? needed : this.held.sound + PART * early;
    const inStep = Math.min(Math.max(wanted, needed - EITHER_WAY_MS), needed + EITHER_WAY_MS);
    this.held = {
      sound: moved(this.held.sound, inStep, LEAST_STEP_MS.sound),
      pictures: moved(this.held.pictures, needed + FARTHER_MS, LEAST_STEP_MS.pictures),
    };
    return this.held;
  }

  /** Means since the last reading, in ms; nothing for a stream that stood still. */
  private since(id: string, now: Buffered): { delay: number; least: number; decoding: number } | undefined {
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
    return { delay, least: mean("least"), decoding: Math.max(processing - delay, 0) };
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

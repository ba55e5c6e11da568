// When pictures should be ready, so that each is seen once. The browser composes its window
// in turns, and a picture is seen in the first turn after it was ready. Where pictures come
// just as a turn begins, one is late for it and the next is in time for the same turn: the
// first of the two is never seen. So each stream is held so long that its pictures come well
// before their turns. Pure: times go in and come out. It must not know the SDK or WebRTC.

/**
 * How much older than its hold a picture should be in its turn, in ms: between those where
 * pictures were lost, and farther from where they come late (docs/encoding.md).
 */
export const READY_BEFORE_MS = 12;

/** With fewer pictures in a reading, or more scattered ones, a stream has no rhythm. */
const FEWEST = 5;
const LEAST_RHYTHM = 0.6;

/**
 * Streams keep their turns as long as what all of them have in the middle is so near to what is
 * wanted, and others would bring them nearer to each other by less than that, in turns: each
 * change costs a picture.
 */
const LOYALTY = { middle: 0.7, spread: 0.2 };

/** A hold that would move by less stays. */
const LEAST_STEP_MS = 3;

/** No turn is drawn sooner after it began, in ms. */
const LEAST_TO_DRAW_MS = 5;

/** What was seen since the last reading. */
export interface Seen {
  /** How old the pictures of each track were in their turns, in ms since they had come. */
  ages: ReadonlyMap<string, readonly number[]>;
  /** How long a turn is, in ms; nothing if that is not known yet. */
  turn: number | undefined;
}

/** Where a picture is in the recording, if that was told since the last reading. */
export interface Placed {
  /** How long after its turn it is shown there, in ms; less than nothing if before it. */
  shownAfter: number | undefined;
}

/** When a picture had been drawn, and when it is shown in the recording, in ms. */
export interface Rhythm {
  drawn: number;
  shown: number;
}

interface Held {
  age: number;
  hold: number;
}

export class Turns {
  private readonly held = new Map<string, Held>();

  /** With each reading, and how old pictures should be in their turns. */
  next({ ages, turn }: Seen, wanted: number): void {
    for (const track of this.held.keys()) {
      if (!ages.has(track)) {
        this.held.delete(track);
      }
    }
    if (turn === undefined) {
      return;
    }
    const now = new Map<string, number>();
    for (const [track, seen] of ages) {
      const phase = rhythm(seen, turn);
      if (phase !== undefined) {
        const before = this.held.get(track)?.age ?? wanted;
        now.set(track, phase + turn * Math.round((before - phase) / turn));
      }
    }
    const together = gathered([...now.values()], wanted, turn);
    const found = new Map([...now.keys()].map((track, index) => [track, together[index]]));
    for (const track of ages.keys()) {
      const before = this.held.get(track);
      const isNear = before && Math.abs(before.age - wanted) < LOYALTY.middle * turn;
      const age = found.get(track) ?? (isNear ? before.age : wanted);
      const hold = until(age);
      const stays = before && Math.abs(hold - before.hold) < LEAST_STEP_MS;
      this.held.set(track, { age, hold: stays ? before.hold : hold });
    }
  }

  /**
   * How old pictures are in their turns, in ms; nothing without any. Between the youngest and the
   * oldest, so that no stream is farther from it than it has to be.
   */
  get age(): number | undefined {
    const ages = [...this.held.values()].map((held) => held.age);
    return ages.length > 0 ? middle(ages) : undefined;
  }

  /** How long the pictures of a track are to be held, in ms. */
  hold(track: string, wanted: number): number {
    return this.held.get(track)?.hold ?? until(wanted);
  }
}

function middle(ages: readonly number[]): number {
  return (Math.min(...ages) + Math.max(...ages)) / 2;
}

function spread(ages: readonly number[]): number {
  return Math.max(...ages) - Math.min(...ages);
}

/**
 * The same ages or whole turns more or less, so that they are near to each other and to what is
 * wanted: the sound can be in step with one of them only.
 */
function gathered(ages: readonly number[], wanted: number, turn: number): number[] {
  // As near to each other as can be with each of them for the youngest.
  const ways = ages.map((youngest) => {
    const way = ages.map((age) => age + turn * Math.ceil((youngest - age) / turn));
    const later = turn * Math.round((wanted - middle(way)) / turn);
    return way.map((age) => age + later);
  });
  const isKept =
    Math.abs(middle(ages) - wanted) < LOYALTY.middle * turn &&
    ways.every((way) => spread(ages) - spread(way) < LOYALTY.spread * turn);
  const [best] = ways.sort((one, other) => spread(one) - spread(other));
  return isKept || !best ? [...ages] : best;
}

function until(age: number): number {
  return Math.max(0, Math.round(age - READY_BEFORE_MS));
}

/** The middle one of the times between turns, if there is one. */
export function turnLength(turns: readonly number[]): number | undefined {
  const lengths = turns.slice(1).map((turn, index) => turn - (turns[index] ?? turn));
  return lengths.sort((one, other) => one - other)[lengths.length >> 1] || undefined;
}

/**
 * How long after its turn a picture is shown in the recording, in ms, by when `turns` of that
 * length began. The recorder sees only when it had been drawn, which is the longer after its turn
 * the busier the machine is.
 */
export function shownAfter({ drawn, shown }: Rhythm, turns: readonly number[], turn: number): number | undefined {
  const since = rhythm(turns.map((begun) => drawn - begun), turn);
  if (since === undefined) {
    return undefined;
  }
  const later = (since - LEAST_TO_DRAW_MS) % turn;
  return shown - drawn + LEAST_TO_DRAW_MS + (later < 0 ? later + turn : later);
}

/** Where in a turn pictures have come: their mean on a circle; nothing if anywhere. */
function rhythm(ages: readonly number[], turn: number): number | undefined {
  if (ages.length < FEWEST) {
    return undefined;
  }
  const mean = (part: (angle: number) => number): number =>
    ages.reduce((sum, age) => sum + part((2 * Math.PI * age) / turn), 0) / ages.length;
  const [x, y] = [mean(Math.cos), mean(Math.sin)];
  return Math.hypot(x, y) < LEAST_RHYTHM ? undefined : (Math.atan2(y, x) * turn) / (2 * Math.PI);
}

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { READY_BEFORE_MS, shownAfter, Turns, turnLength } from "../src/turns";

const TURN = 100 / 3;
const WANTED = 140;

/** Ages of pictures that come every `period` ms, ready at `ready` in turns of `TURN` ms. */
function seen(hold: number, phase: number, period = TURN, count = 12): number[] {
  // As measured: ready some ms before their hold is over, seen in the next turn.
  return Array.from({ length: count }, (_, index) => {
    const arrival = phase + index * period;
    const ready = arrival + hold - 7;
    return Math.ceil(ready / TURN) * TURN - arrival;
  });
}

/** How long before its turn a picture is ready, after some readings. */
function settled(phase: number, wanted = WANTED): { slack: number; age: number } {
  const turns = new Turns();
  for (let reading = 0; reading < 4; reading += 1) {
    const ages = seen(turns.hold("v", wanted), phase);
    turns.next({ ages: new Map([["v", ages]]), turn: TURN }, wanted);
  }
  const hold = turns.hold("v", wanted);
  const [age = NaN] = seen(hold, phase);
  return { slack: age - (hold - 7), age };
}

describe("turns", () => {
  it("has pictures ready well between two turns, wherever they come", () => {
    for (let phase = 0; phase < TURN; phase += 0.7) {
      const { slack, age } = settled(phase);
      expect(slack).toBeGreaterThan(TURN / 3);
      expect(slack).toBeLessThan((2 * TURN) / 3);
      expect(Math.abs(age - WANTED)).toBeLessThan(TURN / 2 + 2);
    }
  });

  it("sees through pictures that come now before and now after a turn begins", () => {
    const turns = new Turns();
    const ages = [118, 151, 118.5, 117, 150.5, 118, 152, 151, 118, 117.5];
    turns.next({ ages: new Map([["v", ages]]), turn: TURN }, WANTED);
    expect(Math.abs(turns.hold("v", WANTED) - (151 - READY_BEFORE_MS))).toBeLessThanOrEqual(2);
  });

  it("follows a camera with a clock of its own, a turn at a time", () => {
    const turns = new Turns();
    const holds = Array.from({ length: 200 }, (_, reading) => {
      const ages = seen(turns.hold("v", WANTED), reading * 0.5);
      turns.next({ ages: new Map([["v", ages]]), turn: TURN }, WANTED);
      return turns.hold("v", WANTED);
    });
    const jumps = holds.slice(1).filter((hold, index) => Math.abs(hold - (holds[index] ?? 0)) > TURN / 2);
    expect(jumps.length).toBe(3);
    expect(Math.max(...holds.map((hold) => Math.abs(hold + READY_BEFORE_MS - WANTED)))).toBeLessThan(0.8 * TURN);
  });

  it("holds what has no rhythm as long as the sound", () => {
    const turns = new Turns();
    const still = new Map([["slide", [150, 90]], ["film", seen(128, 0, 1000 / 24, 24)]]);
    turns.next({ ages: still, turn: TURN }, WANTED);
    expect([turns.hold("slide", WANTED), turns.hold("film", WANTED)]).toEqual([128, 128]);
    turns.next({ ages: new Map([["slide", []]]), turn: undefined }, 200);
    expect(turns.hold("new", 200)).toBe(188);
  });

  it("keeps a hold that would hardly move, and forgets a track that has gone", () => {
    const turns = new Turns();
    const look = (age: number): number => {
      turns.next({ ages: new Map([["v", Array<number>(10).fill(age)]]), turn: TURN }, WANTED);
      return turns.hold("v", WANTED);
    };
    expect(look(140)).toBe(128);
    expect(look(142)).toBe(128);
    expect(look(144)).toBe(132);
    turns.next({ ages: new Map(), turn: TURN }, WANTED);
    expect(turns.hold("v", 100)).toBe(88);
  });

  it("tells how old the pictures of all are", () => {
    const turns = new Turns();
    expect(turns.age).toBeUndefined();
    const ages = new Map([120, 130, 152].map((age, track) => [`v${track}`, Array<number>(10).fill(age)]));
    turns.next({ ages, turn: TURN }, WANTED);
    // The last is nearer to the others a turn sooner.
    expect(turns.age).toBeCloseTo((152 - TURN + 130) / 2, 5);
    turns.next({ ages: new Map(), turn: TURN }, WANTED);
    expect(turns.age).toBeUndefined();
  });

  it("has the pictures of all as near to each other as turns allow", () => {
    const phases = fc.array(fc.double({ min: 120, max: 120 + TURN, noNaN: true }), { minLength: 1, maxLength: 9 });
    const property = fc.property(phases, (phases) => {
      const turns = new Turns();
      const ages = new Map(phases.map((age, track) => [`v${track}`, Array<number>(10).fill(age)]));
      turns.next({ ages, turn: TURN }, WANTED);
      const seen = phases.map((_, track) => turns.hold(`v${track}`, WANTED) + READY_BEFORE_MS);
      const apart = Math.max(...seen) - Math.min(...seen);
      // All are in a turn, but for the widest gap between two of them.
      const around = [...phases].sort((one, other) => one - other);
      const gaps = around.map((phase, index) => (around[index + 1] ?? (around[0] ?? 0) + TURN) - phase);
      expect(apart).toBeLessThan(1.2 * TURN - Math.max(...gaps) + 1);
      const age = turns.age ?? NaN;
      expect(Math.abs(age - WANTED)).toBeLessThan(0.7 * TURN);
      for (const one of seen) {
        expect(Math.abs(one - age)).toBeLessThanOrEqual(apart / 2 + 1);
      }
    });
    fc.assert(property, { numRuns: 1000 });
  });

  it("keeps the turns of all where pictures come a little sooner or later than before", () => {
    const turns = new Turns();
    const look = (one: number, other: number): number[] => {
      const ages = new Map(Object.entries({ one, other }).map(([name, age]) => [name, Array<number>(10).fill(age)]));
      turns.next({ ages, turn: TURN }, WANTED);
      return ["one", "other"].map((name) => turns.hold(name, WANTED) + READY_BEFORE_MS);
    };
    expect(look(130, 145)).toEqual([130, 145]);
    // More than half a turn apart: the other way round would hardly bring them nearer.
    expect(look(126, 145)).toEqual([126, 145]);
    expect(look(122, 148)).toEqual([122 + Math.round(TURN), 148]);
  });

  it("takes the usual time between turns for their length", () => {
    expect(turnLength([0, 33, 66.5, 133, 166, 199.5])).toBe(33.5);
    expect(turnLength([7])).toBeUndefined();
    expect(turnLength([7, 7, 7, 40])).toBeUndefined();
  });

  it("tells how long after its turn a picture is shown, whenever in its turn it is drawn", () => {
    const turns = [3, 36.5, 70, 103, 170].map((begun) => begun + 1e5);
    for (let toDraw = 6; toDraw < 37; toDraw += 1) {
      for (const later of [-12, -1, 0, 5]) {
        const begun = 1e5 + 3 + later * TURN;
        const after = shownAfter({ drawn: begun + toDraw, shown: begun - 8 }, turns, TURN);
        expect(Math.abs((after ?? NaN) + 8)).toBeLessThan(1);
      }
    }
    expect(shownAfter({ drawn: 1e5, shown: 1e5 }, [], TURN)).toBeUndefined();
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { layout, type Mode, type Rectangle, type Shown } from "../src/layout";

const people = (count: number): Shown[] => Array.from({ length: count }, (_, n) => ({ id: `p${n}`, content: false }));
const share: Shown = { id: "p0#content", content: true };
const HD = { width: 1920, height: 1080, gap: 12, mode: "grid" as Mode };

function overlap(a: Rectangle, b: Rectangle): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

const stages = fc.record({
  width: fc.integer({ min: 640, max: 3840 }),
  height: fc.integer({ min: 360, max: 2160 }),
  gap: fc.integer({ min: 0, max: 16 }),
  mode: fc.constantFrom<Mode>("grid", "speaker"),
  speaker: fc.option(fc.constantFrom("p0", "p3", "p24", "nobody"), { nil: undefined }),
});
const scenes = fc.record({ count: fc.integer({ min: 0, max: 25 }), shares: fc.integer({ min: 0, max: 2 }) });

describe("layout", () => {
  test("tiles lie inside the stage, apart from each other, in their shape", () => {
    fc.assert(
      fc.property(scenes, stages, ({ count, shares }, stage) => {
        const screens = Array.from({ length: shares }, (_, n) => ({ id: `s${n}`, content: true }));
        const places = [...layout([...screens, ...people(count)], stage).values()];
        for (const [index, place] of places.entries()) {
          expect(place.x).toBeGreaterThanOrEqual(0);
          expect(place.y).toBeGreaterThanOrEqual(0);
          expect(place.x + place.width).toBeLessThanOrEqual(stage.width);
          expect(place.y + place.height).toBeLessThanOrEqual(stage.height);
          // Even sizes round by less than two pixels.
          expect(Math.abs(place.height - place.width / (16 / 9))).toBeLessThan(2.5);
          for (const other of places.slice(index + 1)) {
            expect(overlap(place, other)).toBe(false);
          }
        }
      }),
    );
  });

  test("a grid shows everybody in one size, the more the smaller", () => {
    let before = Number.POSITIVE_INFINITY;
    for (let count = 1; count <= 25; count++) {
      const places = [...layout(people(count), HD).values()];
      expect(places).toHaveLength(count);
      expect(new Set(places.map((place) => `${place.width}x${place.height}`)).size).toBe(1);
      const width = places[0]?.width ?? 0;
      expect(width).toBeLessThanOrEqual(before);
      before = width;
    }
  });

  test("four are two by two and fill the stage", () => {
    const places = layout(people(4), HD);
    expect(places.get("p0")).toEqual({ x: 26, y: 12, width: 928, height: 522 });
    expect(places.get("p3")).toEqual({ x: 966, y: 546, width: 928, height: 522 });
  });

  test("nobody moves when a row still has room", () => {
    const five = layout(people(5), HD);
    const six = layout(people(6), HD);
    for (const id of ["p0", "p1", "p2"]) {
      expect(six.get(id)).toEqual(five.get(id));
    }
  });

  test("a shared screen is larger than all people together", () => {
    const places = layout([share, ...people(4)], HD);
    const area = (place: Rectangle | undefined) => (place ? place.width * place.height : 0);
    const others = people(4).reduce((sum, tile) => sum + area(places.get(tile.id)), 0);
    expect(area(places.get(share.id))).toBeGreaterThan(2 * others);
  });

  test("a filmstrip keeps its people and always has the speaker", () => {
    const quiet = layout([share, ...people(25)], HD);
    const loud = layout([share, ...people(25)], { ...HD, speaker: "p20" });
    expect(quiet.size).toBe(11);
    expect(loud.size).toBe(11);
    expect(loud.has("p20")).toBe(true);
    for (const id of ["p0", "p5", "p8"]) {
      expect(loud.get(id)).toEqual(quiet.get(id));
    }
  });

  test("a filmstrip shows pictures before initials, each in its order", () => {
    const late = ["p14", "p20"];
    const shown = people(25).map((tile) => (late.includes(tile.id) ? { ...tile, stream: {} } : tile));
    const places = layout([share, ...shown], HD);
    const ids = [...places.keys()].filter((id) => id !== share.id);
    expect(ids).toEqual(["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", ...late]);
  });

  test("the speaker view enlarges whoever speaks", () => {
    const places = layout(people(5), { ...HD, mode: "speaker", speaker: "p3" });
    const widths = [...places].sort(([, a], [, b]) => b.width - a.width);
    expect(widths[0]?.[0]).toBe("p3");
    expect(places.size).toBe(5);
  });
});

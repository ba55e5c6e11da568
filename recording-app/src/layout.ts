// Where the tiles go: a pure function from what there is to show to rectangles.
// It must not know the DOM or the SDK.

export interface Size {
  width: number;
  height: number;
}

export interface Rectangle extends Size {
  x: number;
  y: number;
}

/** What there is to show, in the order of arrival. */
export interface Shown {
  id: string;
  content: boolean;
  /** Their picture, if they have one. */
  stream?: unknown;
}

export type Mode = "grid" | "speaker";

export interface Stage extends Size {
  gap: number;
  mode: Mode;
  /** Who is large in the speaker view; the first tile if nobody is. */
  speaker?: string | undefined;
}

/** Cameras and screens are wide; tiles of their shape crop no face. */
const ASPECT = 16 / 9;

/** How much of the stage's width the filmstrip takes. */
const STRIP = 0.19;

/** The most tiles of a filmstrip; it has two columns when they do not fit into one. */
const STRIP_TILES = 10;

/** The rectangles of all tiles that are drawn, by their ids. */
export function layout(tiles: readonly Shown[], stage: Stage): Map<string, Rectangle> {
  const shares = tiles.filter((tile) => tile.content);
  const people = tiles.filter((tile) => !tile.content);
  if (shares.length > 0) {
    return beside(shares, people, stage);
  }
  if (stage.mode === "speaker" && people.length > 1) {
    const speaker = people.find((tile) => tile.id === stage.speaker) ?? people[0];
    return beside(
      people.filter((tile) => tile === speaker),
      people.filter((tile) => tile !== speaker),
      stage,
    );
  }
  return grid(people, { x: 0, y: 0, width: stage.width, height: stage.height }, stage.gap);
}

/** Large tiles with a filmstrip at their right. */
function beside(large: Shown[], small: Shown[], stage: Stage): Map<string, Rectangle> {
  const { width, height, gap } = stage;
  if (small.length === 0) {
    return grid(large, { x: 0, y: 0, width, height }, gap);
  }
  const strip = Math.floor(width * STRIP);
  const main = { x: 0, y: 0, width: width - strip - gap, height };
  const places = grid(large, main, gap);
  const area = { x: main.width, y: 0, width: strip + gap, height };
  const shown = filmstrip(small, stage.speaker);
  for (const [id, place] of grid(shown, area, gap, shown.length > STRIP_TILES / 2 ? 2 : 1)) {
    places.set(id, place);
  }
  return places;
}

/**
 * Those who fit, in their order: those with pictures before those without, and the speaker among
 * them, in place of the last, so that the others stay.
 */
function filmstrip(people: Shown[], speaker: string | undefined): Shown[] {
  const seen = people.filter((tile) => tile.stream);
  const chosen = new Set([...seen, ...people.filter((tile) => !tile.stream)].slice(0, STRIP_TILES));
  const shown = people.filter((tile) => chosen.has(tile));
  const hidden = people.find((tile) => tile.id === speaker && !chosen.has(tile));
  return hidden ? [...shown.slice(0, -1), hidden] : shown;
}

/** Equal tiles, as large as they can be, in rows; the last row is centred. */
function grid(
  tiles: readonly Shown[],
  area: Rectangle,
  gap: number,
  fixedColumns?: number,
): Map<string, Rectangle> {
  const places = new Map<string, Rectangle>();
  if (tiles.length === 0) {
    return places;
  }
  const columns = fixedColumns ?? bestColumns(tiles.length, area, gap);
  const rows = Math.ceil(tiles.length / columns);
  const { width, height } = tileSize(columns, rows, area, gap);
  const top = area.y + Math.floor((area.height - rows * height - (rows - 1) * gap) / 2);
  tiles.forEach((tile, index) => {
    const row = Math.floor(index / columns);
    const inRow = row === rows - 1 ? tiles.length - row * columns : columns;
    const left = area.x + Math.floor((area.width - inRow * width - (inRow - 1) * gap) / 2);
    places.set(tile.id, {
      x: left + (index - row * columns) * (width + gap),
      y: top + row * (height + gap),
      width,
      height,
    });
  });
  return places;
}

function bestColumns(count: number, area: Rectangle, gap: number): number {
  let best = 1;
  let widest = 0;
  for (let columns = 1; columns <= count; columns++) {
    const { width } = tileSize(columns, Math.ceil(count / columns), area, gap);
    if (width > widest) {
      best = columns;
      widest = width;
    }
  }
  return best;
}

/** Even numbers of pixels, with a gap around every tile. */
function tileSize(columns: number, rows: number, area: Rectangle, gap: number): Size {
  const widest = (area.width - (columns + 1) * gap) / columns;
  const tallest = (area.height - (rows + 1) * gap) / rows;
  const width = Math.max(2, Math.floor(Math.min(widest, tallest * ASPECT)));
  return { width: width - (width % 2), height: Math.max(2, Math.floor(width / ASPECT / 2) * 2) };
}

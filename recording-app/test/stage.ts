// The real view and layout with pictures that are painted here, for looking at.
// Its address says what to show: people, share, mode, silent (people without a
// picture), name (of the first).

import { layout, type Mode } from "../src/layout";
import { oneLine } from "../src/names";
import { type Tile, View } from "../src/view";

const query = new URLSearchParams(location.search);
const count = Number(query.get("people"));

/** A wall of one colour, each person another. */
export function colour(index: number): string {
  return `hsl(${(index * 47) % 360} 60% 45%)`;
}

function picture(index: number, text: string): MediaStream {
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 360;
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const paint = (): void => {
    context.fillStyle = colour(index);
    context.fillRect(0, 0, 640, 360);
    context.fillStyle = "white";
    context.fillRect(315, 175, 10, 10);
    context.fillText(text, 20, 40);
  };
  paint();
  setInterval(paint, 100);
  return canvas.captureStream();
}

const people: Tile[] = Array.from({ length: count }, (_, index) => ({
  id: `p${index}`,
  name: oneLine((index === 0 && query.get("name")) || `Person ${index}`),
  content: false,
  muted: index === 1,
  speaking: index === 2,
  poor: index === 3,
  stream: index < Number(query.get("silent") ?? 0) ? undefined : picture(index, `p${index}`),
}));
const share: Tile = {
  id: "p0#content",
  name: "Person 0 – screen",
  content: true,
  muted: false,
  speaking: false,
  poor: false,
  stream: picture(9, "screen"),
};
const tiles = query.has("share") ? [share, ...people] : people;
const view = new View(document.getElementById("stage") as HTMLElement);
const { width, height } = view.size;
const mode = (query.get("mode") ?? "grid") as Mode;
const places = layout(tiles, { width, height, gap: 12, mode, speaker: "p2" });
view.render(tiles, places);
const wanted = tiles.filter((tile) => tile.stream && places.has(tile.id)).length;
const look = (): void => {
  if (view.pictures === wanted) {
    document.title = "ready";
  } else {
    requestAnimationFrame(look);
  }
};
look();

"use strict";

const repeat = (value, count) => Array.from({ length: count }, () => value);

// Pictures: nested lists [height][width][channels] in [0, 1].

function paint(canvas, image, isKnown) {
  const height = image.length;
  const width = image[0].length;
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    const row = Math.floor(i / width);
    const column = i % width;
    const pixel = image[row][column];
    const colour = pixel.length === 3 ? pixel : repeat(pixel[0], 3);
    const erased = isKnown && !isKnown[row][column];
    const hatched = (row + column) % 2 ? [0.91, 0.47, 0.18] : [0.98, 0.62, 0.35];
    const shown = erased ? hatched : colour;
    shown.forEach((value, k) => (pixels.data[4 * i + k] = Math.round(255 * value)));
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

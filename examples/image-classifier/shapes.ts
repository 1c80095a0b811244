/** The data set: pictures of shapes, drawn by chance, so that nothing has to be downloaded. The same seed draws the same. */

/** A picture in grey: rows from the top, 0 is black, 1 is white. */
export interface Picture { readonly width: number, readonly height: number, readonly pixels: Float32Array }

export const SHAPES = ['circle', 'cross', 'square', 'triangle'] as const
export type Shape = typeof SHAPES[number]

export interface Example { readonly picture: Picture, readonly shape: Shape }

/** Numbers from 0 to 1, by the generator mulberry32. */
export type Chance = () => number

export function chanceOf (seed: number): Chance {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Whether a point is in the shape, which has its middle at 0 and about the size of the circle of radius 1. */
const COVERS: Record<Shape, (x: number, y: number) => boolean> = {
  circle: (x, y) => x * x + y * y < 0.8,
  cross: (x, y) => Math.min(Math.abs(x), Math.abs(y)) < 0.28 && Math.max(Math.abs(x), Math.abs(y)) < 1,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) < 0.78,
  triangle: (x, y) => y < 0.6 && y > 1.9 * Math.abs(x) - 1.1
}

export const PICTURE_SIDE = 32
const NOISE = 0.15

/** A shape somewhere in the picture, larger or smaller, turned, lighter or darker than what is behind it, with noise on it. */
export function drawn (shape: Shape, chance: Chance): Picture {
  const between = (low: number, high: number): number => low + (high - low) * chance()
  const radius = between(7, 12)
  const [middleX, middleY] = [PICTURE_SIDE / 2 + between(-4, 4), PICTURE_SIDE / 2 + between(-4, 4)]
  const angle = between(-0.3, 0.3)
  const [sin, cos] = [Math.sin(angle) / radius, Math.cos(angle) / radius]
  const ground = between(0, 1)
  const ink = ground + between(0.4, 0.6) * (ground > 0.5 ? -1 : 1)
  const pixels = Float32Array.from({ length: PICTURE_SIDE ** 2 }, (_, i) => {
    const [x, y] = [i % PICTURE_SIDE + 0.5 - middleX, Math.floor(i / PICTURE_SIDE) + 0.5 - middleY]
    const color = COVERS[shape](x * cos + y * sin, y * cos - x * sin) ? ink : ground
    return Math.min(1, Math.max(0, color + between(-NOISE, NOISE)))
  })
  return { width: PICTURE_SIDE, height: PICTURE_SIDE, pixels }
}

/** As many of each shape, in turn. */
export function examplesOf (count: number, chance: Chance): Example[] {
  return Array.from({ length: count }, (_, i) => {
    const shape = SHAPES[i % SHAPES.length]!
    return { shape, picture: drawn(shape, chance) }
  })
}

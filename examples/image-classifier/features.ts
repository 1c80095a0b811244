/** What the model sees of a picture. */
import type { Picture } from './shapes.ts'

const SIDE = 16

/** How many numbers the model sees. */
export const FEATURES = SIDE * SIDE

/**
 * The picture at 16 × 16, however large it is: how far each field is from what is behind the shape, which is what most of
 * the border is. So it does not matter whether the shape is lighter or darker.
 */
export function featuresOf (picture: Picture): Float32Array {
  const { width, height, pixels } = picture
  const ground = borderOf(picture)
  const features = new Float32Array(FEATURES)
  const counts = new Float32Array(FEATURES)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const field = Math.floor(y * SIDE / height) * SIDE + Math.floor(x * SIDE / width)
      features[field]! += pixels[y * width + x]! - ground
      counts[field]!++
    }
  }
  let most = 0
  for (let i = 0; i < FEATURES; i++) {
    features[i] = counts[i] === 0 ? 0 : Math.abs(features[i]! / counts[i]!)
    most = Math.max(most, features[i]!)
  }
  return most === 0 ? features : features.map(feature => feature / most)
}

/** The median of the border. */
function borderOf ({ width, height, pixels }: Picture): number {
  const border = pixels.filter((_, i) => i < width || i >= width * (height - 1) || i % width === 0 || i % width === width - 1)
  return border.sort()[Math.floor(border.length / 2)]!
}

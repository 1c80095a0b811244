/** Points, and what lies at them. */
import { readFileSync } from 'node:fs'

/** In degrees times 10^7. */
export interface Point { latitude: number, longitude: number }
export interface Rectangle { lo: Point | null, hi: Point | null }
export interface Feature { name: string, location: Point | null }

/** The places of the RouteGuide example that all gRPC implementations share, in New Jersey. */
export const features: readonly Feature[] = JSON.parse(readFileSync(new URL('features.json', import.meta.url), 'utf8'))
  .map(([latitude, longitude, name]: [number, number, string]) => ({ name, location: { latitude, longitude } }))

const byPoint = new Map(features.map(feature => [keyOf(feature.location), feature]))

/** A text that equal points share. An unset point is (0, 0), as in proto3. */
export function keyOf (point: Point | null): string {
  return `${point?.latitude ?? 0},${point?.longitude ?? 0}`
}

export function featureAt (point: Point): Feature {
  return byPoint.get(keyOf(point)) ?? { name: '', location: point }
}

export function isWithin ({ lo, hi }: Rectangle, point: Point): boolean {
  const a = lo ?? { latitude: 0, longitude: 0 }
  const b = hi ?? { latitude: 0, longitude: 0 }
  return between(a.latitude, b.latitude, point.latitude) && between(a.longitude, b.longitude, point.longitude)
}

function between (a: number, b: number, value: number): boolean {
  return value >= Math.min(a, b) && value <= Math.max(a, b)
}

const EARTH_RADIUS_METRES = 6371000

/** The great-circle distance in metres, by the haversine formula. */
export function distance (from: Point, to: Point): number {
  const lat1 = radians(from.latitude)
  const lat2 = radians(to.latitude)
  const dLat = lat2 - lat1
  const dLon = radians(to.longitude) - radians(from.longitude)
  const a = Math.sin(dLat / 2) ** 2 + Math.cos(lat1) * Math.cos(lat2) * Math.sin(dLon / 2) ** 2
  return EARTH_RADIUS_METRES * 2 * Math.atan2(Math.sqrt(a), Math.sqrt(1 - a))
}

function radians (e7: number): number {
  return e7 / 1e7 * Math.PI / 180
}

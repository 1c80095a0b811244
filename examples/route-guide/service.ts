/** RouteGuide: all four kinds of RPC, each a method of a class. */
import {
  loadProto,
  type BidiStreamingMethod,
  type ClientStreamingMethod,
  type ServerStreamingMethod,
  type ServiceRegistrar,
  type UnaryMethod
} from '../../src/index.ts'
import { distance, featureAt, features, isWithin, keyOf, type Feature, type Point, type Rectangle } from './geography.ts'

interface RouteNote { location: Point | null, message: string }

interface RouteSummary { pointCount: number, featureCount: number, distance: number, elapsedTime: number }

interface RouteGuideDefinition {
  GetFeature: UnaryMethod<Point, Feature>
  ListFeatures: ServerStreamingMethod<Rectangle, Feature>
  RecordRoute: ClientStreamingMethod<Point, RouteSummary>
  RouteChat: BidiStreamingMethod<RouteNote, RouteNote>
}

export const { RouteGuide } = loadProto<{ RouteGuide: RouteGuideDefinition }>(new URL('../../protos/route_guide.proto', import.meta.url))

export class RouteGuideService {
  readonly #notes = new Map<string, RouteNote[]>()

  GetFeature (point: Point): Feature {
    return featureAt(point)
  }

  * ListFeatures (rectangle: Rectangle): Iterable<Feature> {
    for (const feature of features) {
      if (isWithin(rectangle, feature.location!)) yield feature
    }
  }

  async RecordRoute (points: AsyncIterable<Point>): Promise<RouteSummary> {
    const start = Date.now()
    const summary: RouteSummary = { pointCount: 0, featureCount: 0, distance: 0, elapsedTime: 0 }
    let previous: Point | undefined
    for await (const point of points) {
      summary.pointCount++
      if (featureAt(point).name !== '') summary.featureCount++
      if (previous !== undefined) summary.distance += distance(previous, point)
      previous = point
    }
    return { ...summary, distance: Math.trunc(summary.distance), elapsedTime: Math.trunc((Date.now() - start) / 1000) }
  }

  async * RouteChat (notes: AsyncIterable<RouteNote>): AsyncIterable<RouteNote> {
    for await (const note of notes) {
      const key = keyOf(note.location)
      const earlier = this.#notes.get(key) ?? []
      yield * earlier
      this.#notes.set(key, [...earlier, note])
    }
  }

  static addToServer (instance: RouteGuideService, server: ServiceRegistrar): void {
    server.implement(RouteGuide, instance)
  }
}

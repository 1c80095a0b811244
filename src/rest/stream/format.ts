/** The forms in which a stream of messages goes out, by the media type that the client accepts. */
import type { EndOfCall } from '../end-of-call.ts'
import { JSON_LINES_MEDIA_TYPES } from '../media-type.ts'

export interface StreamFormat {
  /** As it is answered. */
  readonly contentType: string
  /** What else the response needs to come through as a stream. */
  readonly headers: Readonly<Record<string, string>>
  /** The form of one response. */
  open (lastEventId: string | undefined): StreamFraming
}

export interface StreamFraming {
  /** What comes before the first message. */
  readonly begin: string
  /** @param json the text of a message, on one line */
  message (json: string): string
  /** What keeps a quiet connection open; undefined when the form has no such thing. */
  readonly heartbeat?: string
  /** What comes after the last message; undefined when the form can tell of no error, so that it has to be cut off. */
  end (end: EndOfCall): string | undefined
}

/** Proxies must not hold a stream back: nginx obeys this. */
const UNBUFFERED = { 'x-accel-buffering': 'no' }

/**
 * One JSON message a line, and an error as the last: `{"error":{…}}`.
 */
function lines (contentType: string, envelopes: boolean): StreamFormat {
  const framing: StreamFraming = {
    begin: '',
    message: envelopes ? json => `{"result":${json}}\n` : json => `${json}\n`,
    end: ({ error }) => error === undefined ? '' : `{"error":${error.object}}\n`
  }
  return { contentType, headers: UNBUFFERED, open: () => framing }
}

/** A JSON array. Without envelopes its elements are messages alone, so that after an error it stays without an end. */
function array (envelopes: boolean): StreamFormat {
  return {
    contentType: 'application/json; charset=utf-8',
    headers: UNBUFFERED,
    open () {
      let separator = ''
      return {
        begin: '[',
        message (json) {
          const text = envelopes ? `${separator}{"result":${json}}` : separator + json
          separator = ','
          return text
        },
        end ({ error }) {
          if (error === undefined) return ']'
          return envelopes ? `${separator}{"error":${error.object}}]` : undefined
        }
      }
    }
  }
}

/**
 * Server-sent events: a message each, then `event: error` where there is one, then `event: end`. Their ids count on
 * from that of the last event which the client has got.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
const eventStream: StreamFormat = {
  contentType: 'text/event-stream; charset=utf-8',
  headers: { ...UNBUFFERED, 'cache-control': 'no-store' },
  open (lastEventId) {
    let id = lastEventId !== undefined && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : 0
    return {
      begin: '',
      // V8 is faster at this than at a template of the same.
      message: json => 'id: ' + ++id + '\ndata: ' + json + '\n\n',
      heartbeat: ':\n\n',
      end: ({ error, status }) => `${error === undefined ? '' : `event: error\ndata: ${error.body}\n\n`}event: end\ndata: ${JSON.stringify(status)}\n\n`
    }
  }
}

/** What `Accept` may name. The first is what clients get that do not care. */
export const STREAM_MEDIA_TYPES: readonly string[] = [...JSON_LINES_MEDIA_TYPES, 'application/json', 'text/event-stream']

/**
 * The formats by media type.
 *
 * @param envelopes whether messages are wrapped, as `{"result":…}`, so that they cannot be mistaken for an error
 */
export function streamFormats (envelopes: boolean): ReadonlyMap<string, StreamFormat> {
  return new Map([
    ...JSON_LINES_MEDIA_TYPES.map(type => [type, lines(type, envelopes)] as const),
    ['application/json', array(envelopes)],
    ['text/event-stream', eventStream]
  ])
}

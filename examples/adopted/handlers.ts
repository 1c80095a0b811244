/** A service as grpc-js has it, written before there was a gateway: nothing here knows of one. */
import { status, type sendUnaryData, type ServerDuplexStream, type ServerReadableStream, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js'

interface Amount { value: number }
interface Total { value: number }

let total = 0

export const handlers = {
  Add (call: ServerUnaryCall<Amount, Total>, callback: sendUnaryData<Total>): void {
    if (call.request.value < 0) {
      callback({ code: status.OUT_OF_RANGE, details: 'Amounts are positive' })
      return
    }
    total += call.request.value
    callback(null, { value: total })
  },

  CountTo (call: ServerWritableStream<Amount, Total>): void {
    for (let value = 1; value <= call.request.value; value++) call.write({ value })
    call.end()
  },

  AddAll (call: ServerReadableStream<Amount, Total>, callback: sendUnaryData<Total>): void {
    call.on('data', ({ value }: Amount) => { total += value })
    call.on('end', () => callback(null, { value: total }))
  },

  RunningTotal (call: ServerDuplexStream<Amount, Total>): void {
    let sum = 0
    call.on('data', ({ value }: Amount) => {
      sum += value
      call.write({ value: sum })
    })
    call.on('end', () => call.end())
  }
}

/** The request log line: one a request, the ledger that tests and operators count on. */
import { type Static, Type } from 'typebox'

const nullable = Type.Union([Type.String(), Type.Null()])

export const RequestLogLine = Type.Object({
  level: Type.Integer(),
  time: Type.Integer({ description: 'Milliseconds since 1970.' }),
  msg: Type.Literal('request'),
  service: Type.String(),
  pod: Type.String(),
  version: Type.String(),
  peer: Type.Union([Type.String(), Type.Null()], {
    description: 'URI of the last x-forwarded-client-cert element: who called, by the mesh.',
  }),
  method: Type.String(),
  path: Type.String({ description: 'Without query; card numbers masked.' }),
  status: Type.Integer(),
  attempt: Type.Union([Type.Integer(), Type.Null()], { description: 'x-envoy-attempt-count.' }),
  order_id: nullable,
  tenant_id: nullable,
  sampled: nullable,
  trace_id: nullable,
  span_id: nullable,
  duration_ms: Type.Number(),
  aborted: Type.Boolean({ description: 'The connection closed before the answer was written.' }),
})
export type RequestLogLine = Static<typeof RequestLogLine>

/** The control: Fastify with nothing but the route and its schemas. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import { serveMeasured } from './measured.ts'
import { PATH, SCHEMA, thing } from './thing.ts'

const server = Fastify().withTypeProvider<TypeBoxTypeProvider>()
server.get(PATH, { schema: SCHEMA }, async ({ params }) => thing(params.id))
await serveMeasured(server)

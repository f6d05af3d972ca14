import { createServer } from 'node:net'
import { freePort } from '@oms/chassis/embedded-postgres'
import { expect, onTestFinished, test } from 'vitest'
import { DOORS, openDoors } from '../../src/ports.ts'

test('a port that is taken is named, and the others are given back', async () => {
  const port = await freePort()
  const taken = createServer().listen(port, '127.0.0.1')
  onTestFinished(() => void taken.close())
  const portOffset = port - DOORS.jaeger.hostPort
  await expect(openDoors(portOffset)).rejects.toThrow(
    `Port ${port} on 127.0.0.1, for jaeger, is taken. Stop what listens there, or move all ports: pnpm lab up --port-offset 1000`,
  )
  taken.close()
  for (const { listening } of await openDoors(portOffset)) listening.close()
})

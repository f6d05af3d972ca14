/** The floor of a start: Node, and an HTTP server of one line. */
import { createServer } from 'node:http'

createServer((_request, response) => response.end()).listen(Number(process.env.PORT), '127.0.0.1')

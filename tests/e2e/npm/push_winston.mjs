// Logs through winston-loki: arguments are the server's URL and "json" or "protobuf". Prints the content type it sent.
import winston from 'winston'
import LokiTransport from 'winston-loki'

const [host, how] = process.argv.slice(2)
const loki = new LokiTransport({
  host,
  labels: { application: 'shop' },
  json: how === 'json',
  interval: 0.1,
  format: winston.format.simple(),
  onConnectionError: (error) => console.error(error),
})
const log = winston.createLogger({ level: 'debug', transports: [loki] })

log.debug('cart opened')
log.info('order placed', { order: 17, customer: 'Jürgen 日本 😀' })
log.warn({ message: 'a <tag> & a \\ backslash', labels: { zone: 'eu-1' } })
log.error('order failed\n    at line two')

console.log(loki.batcher.contentType)
await loki.flush()
await loki.close()

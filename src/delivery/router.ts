/**
 * Finds the devices of a push that are not here and hands it to their nodes, by one hop: the scope of what is forwarded is
 * LOCAL. A device that is not where its route says, or whose node does not answer, has one more try by a fresh read.
 */
import { Outcome, type PushMessageResponse } from '../generated/gateway/v1/gateway.ts'
import { GatewayError } from '../errors.ts'
import type { DeviceRoute, Routes } from '../ports.ts'
import { HOP_MARGIN_MS, type Delivery, type DeliveryContext } from './delivery.ts'
import { targetsOf } from './parcel.ts'

interface Answer {
  readonly response: PushMessageResponse
  /** When it was asked, since the push came. */
  readonly sentAfterMs: number
}

export class Router {
  readonly #context: Omit<DeliveryContext, 'router' | 'finished'>

  constructor (context: Omit<DeliveryContext, 'router' | 'finished'>) {
    this.#context = context
  }

  /** The user's other devices, or the named one, wherever they are. */
  locate (delivery: Delivery): void {
    delivery.open()
    void this.#locate(delivery)
  }

  /** One more try for these devices, by a fresh read. A device has one such try; what was recorded for it stands where the try comes to nothing. */
  retry (delivery: Delivery, deviceIds: readonly string[]): void {
    const again = deviceIds.filter((deviceId) => delivery.retried?.includes(deviceId) !== true)
    if (again.length === 0 || delivery.leftMs <= 2 * HOP_MARGIN_MS) return
    delivery.retried = [...delivery.retried ?? [], ...again]
    delivery.open()
    void this.#retry(delivery, again)
  }

  async #locate (delivery: Delivery): Promise<void> {
    const { deviceId, excludeDeviceId } = delivery.parcel
    const routes = await this.#read(delivery, false)
    if (delivery.isDone) return
    const nodes = new Map<string, string[]>()
    for (const route of routes) {
      if (route.deviceId === excludeDeviceId || (deviceId !== '' && route.deviceId !== deviceId)) continue
      if (delivery.report.has(route.deviceId)) continue // it is here
      const known = nodes.get(route.nodeId)
      if (known === undefined) nodes.set(route.nodeId, [route.deviceId])
      else known.push(route.deviceId)
    }
    for (const [nodeId, deviceIds] of nodes) {
      if (nodeId === this.#context.nodeId) this.#notConnected(delivery, deviceIds, nodeId)
      else this.#forward(delivery, nodeId, deviceIds, deviceId)
    }
    // Named and nowhere. Where the registry could not be read and nothing is known of the user, nobody can say so.
    const isKnown = routes.length > 0 || !delivery.report.routesIncomplete || this.#context.hub.user(delivery.parcel.userId) !== undefined
    if (deviceId !== '' && nodes.size === 0 && isKnown) {
      delivery.record(deviceId, Outcome.OUTCOME_NOT_CONNECTED, '')
    }
    delivery.close()
  }

  async #retry (delivery: Delivery, deviceIds: readonly string[]): Promise<void> {
    const { nodeId, hub } = this.#context
    const routes = await this.#read(delivery, true)
    if (delivery.isDone) return
    for (const deviceId of deviceIds) {
      const [target] = targetsOf(hub.user(delivery.parcel.userId), deviceId, '')
      const route = routes.find((each) => each.deviceId === deviceId)
      if (target !== undefined) delivery.hand(target)
      else if (route !== undefined && route.nodeId !== nodeId) this.#forward(delivery, route.nodeId, [deviceId], deviceId)
      else if (!delivery.report.routesIncomplete) delivery.record(deviceId, Outcome.OUTCOME_NOT_CONNECTED, route?.nodeId ?? '')
    }
    delivery.close()
  }

  async #read (delivery: Delivery, fresh: boolean): Promise<readonly DeviceRoute[]> {
    let routes: Routes
    try {
      routes = await this.#context.registry.locate(delivery.parcel.userId, { fresh })
    } catch (error) {
      this.#context.logger.debug({ err: error }, 'routes of a push unreadable')
      routes = { devices: [], complete: false }
    }
    if (!routes.complete) delivery.report.routesIncomplete = true
    return routes.devices
  }

  /** `named`: the one device that is asked for; empty: all that the node has. */
  #forward (delivery: Delivery, nodeId: string, deviceIds: readonly string[], named: string): void {
    delivery.open()
    for (const deviceId of deviceIds) delivery.report.expect(deviceId, nodeId)
    void this.#ask(delivery, nodeId, named).then((answer) => {
      if (delivery.isDone) return
      if (answer === 'refused') for (const deviceId of deviceIds) delivery.record(deviceId, Outcome.OUTCOME_UNREACHABLE, nodeId)
      else if (answer === 'silent') this.#settle(delivery, deviceIds, nodeId, Outcome.OUTCOME_UNREACHABLE)
      else this.#merge(delivery, nodeId, deviceIds, answer.response, answer.sentAfterMs)
      delivery.close()
    })
  }

  async #ask (delivery: Delivery, nodeId: string, named: string): Promise<Answer | 'refused' | 'silent'> {
    const { registry, peers, logger } = this.#context
    try {
      const address = await registry.nodeAddress(nodeId)
      const deadlineMs = delivery.leftMs - HOP_MARGIN_MS
      if (address === undefined || deadlineMs <= HOP_MARGIN_MS) return 'silent'
      const sentAfterMs = delivery.elapsedMs
      return { response: await delivery.parcel.forward(peers, address, named, deadlineMs, delivery.traceparent), sentAfterMs }
    } catch (error) {
      logger.debug({ err: error, node: nodeId }, 'node does not take a push')
      if (!(error instanceof GatewayError) || error.code === 'SERVICE_UNAVAILABLE' || error.code === 'DEADLINE_EXCEEDED') return 'silent'
      // It did answer: asking again would add to what it has too much of, or be refused for the same reason.
      delivery.report.errorMessage = `${nodeId} refused: ${error.code}`
      return 'refused'
    }
  }

  #merge (delivery: Delivery, nodeId: string, deviceIds: readonly string[], response: PushMessageResponse, sentAfterMs: number): void {
    const missing = new Set(deviceIds)
    for (const { deviceId, outcome, latencyMs } of response.devices) {
      if (outcome === Outcome.OUTCOME_NOT_CONNECTED) continue
      missing.delete(deviceId)
      delivery.record(deviceId, outcome, nodeId, sentAfterMs + latencyMs)
    }
    if (missing.size > 0) this.#notConnected(delivery, [...missing], nodeId)
  }

  #notConnected (delivery: Delivery, deviceIds: readonly string[], nodeId: string): void {
    this.#settle(delivery, deviceIds, nodeId, Outcome.OUTCOME_NOT_CONNECTED)
  }

  #settle (delivery: Delivery, deviceIds: readonly string[], nodeId: string, outcome: Outcome): void {
    for (const deviceId of deviceIds) delivery.record(deviceId, outcome, nodeId)
    this.retry(delivery, deviceIds)
  }
}

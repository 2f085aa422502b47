/** What became of each device of a push, and the answer made of it (contract of PushMessageResponse). */
import { Outcome, type DeviceReport, type PushMessageResponse } from '../generated/gateway/v1/gateway.ts'

const NAMES = Object.fromEntries(Object.entries(Outcome).map(([name, outcome]) => [outcome, name.replace('OUTCOME_', '')])) as Record<Outcome, string>

/** As in the proto file, without the prefix. */
export function outcomeName (outcome: Outcome): string {
  return NAMES[outcome]
}

/** Which of two outcomes for one device stands: what a socket did counts more than what a route said. */
function weightOf (outcome: Outcome): number {
  switch (outcome) {
    case Outcome.OUTCOME_ACKED:
    case Outcome.OUTCOME_WRITTEN:
      return 3
    case Outcome.OUTCOME_ACK_TIMEOUT:
    case Outcome.OUTCOME_SLOW:
    case Outcome.OUTCOME_GONE:
      return 2
    case Outcome.OUTCOME_UNREACHABLE:
    case Outcome.OUTCOME_NOT_CONNECTED:
      return 1
    default:
      return 0 // open, or of a proto file newer than this one
  }
}

export class Report {
  readonly devices: DeviceReport[] = []
  routesIncomplete = false
  errorMessage = ''

  /** Whether a device is reached, or was tried, already. */
  has (deviceId: string): boolean {
    return this.#find(deviceId) !== undefined
  }

  /** A device whose outcome is open. */
  expect (deviceId: string, nodeId: string): void {
    const known = this.#find(deviceId)
    if (known === undefined) this.devices.push({ deviceId, outcome: Outcome.OUTCOME_UNSPECIFIED, nodeId, latencyMs: 0 })
    else known.nodeId = nodeId
  }

  /** Of two outcomes for one device the weightier stands, of equals the later one. */
  record (deviceId: string, outcome: Outcome, nodeId: string, latencyMs: number): void {
    const known = this.#find(deviceId)
    if (known === undefined) {
      this.devices.push({ deviceId, outcome, nodeId, latencyMs })
    } else if (weightOf(outcome) >= weightOf(known.outcome)) {
      known.outcome = outcome
      known.nodeId = nodeId
      known.latencyMs = latencyMs
    }
  }

  response (): PushMessageResponse {
    const failedDevices: string[] = []
    let deliveredCount = 0
    for (const { deviceId, outcome } of this.devices) {
      if (outcome === Outcome.OUTCOME_ACKED || outcome === Outcome.OUTCOME_WRITTEN) deliveredCount++
      else failedDevices.push(deviceId)
    }
    return {
      success: deliveredCount > 0,
      deliveredCount,
      failedDevices,
      errorMessage: this.errorMessage,
      devices: this.devices,
      routesIncomplete: this.routesIncomplete
    }
  }

  #find (deviceId: string): DeviceReport | undefined {
    for (const device of this.devices) {
      if (device.deviceId === deviceId) return device
    }
    return undefined
  }
}

/** A push that was refused, where the answer has to be a report: the items of a stream. */
export function refusedResponse (errorMessage: string): PushMessageResponse {
  return { success: false, deliveredCount: 0, failedDevices: [], errorMessage, devices: [], routesIncomplete: false }
}

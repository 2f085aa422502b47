export interface SendState { readonly inFlight: number }

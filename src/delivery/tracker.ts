export interface PendingPush { readonly next: PendingPush | null }

export interface GroupEntry { readonly groupId: string }

/** More people, more groups. */
import { useRef, useState } from 'preact/hooks'
import { MAX_PEOPLE, type Room } from './room.ts'
import { GROUP_PREFIX } from './services.ts'

/** What is also good in an address. */
const NAME = '[A-Za-z0-9_\\-]{1,16}'
const NAME_HINT = '1 to 16 letters, digits, _ or -'

export function AddDialog ({ room }: { readonly room: Room }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [fault, setFault] = useState('')
  const close = (): void => {
    setFault('')
    dialog.current?.close()
  }

  const addPerson = (event: SubmitEvent & { readonly currentTarget: HTMLFormElement }): void => {
    event.preventDefault()
    const name = nameIn(event.currentTarget)
    if (room.people.length >= MAX_PEOPLE) setFault(`${MAX_PEOPLE} people are enough`)
    else if (room.people.some((person) => person.name === name)) setFault(`${name} is here already`)
    else {
      room.add(name)
      event.currentTarget.reset()
      close()
    }
  }

  const addGroup = (event: SubmitEvent & { readonly currentTarget: HTMLFormElement }): void => {
    event.preventDefault()
    const { currentTarget: form } = event
    const members = new FormData(form).getAll('member').map(String)
    const maker = room.people.find(({ name }) => name === members[0])
    if (maker === undefined) {
      setFault('A group needs somebody')
      return
    }
    maker.services.createGroup(GROUP_PREFIX + nameIn(form), members).then(() => {
      form.reset()
      close()
    }, (error: unknown) => { setFault(error instanceof Error ? error.message : String(error)) })
  }

  return (
    <>
      <button type='button' onClick={() => { dialog.current?.showModal() }}>Add…</button>
      <dialog ref={dialog} aria-labelledby='add-title' onClose={() => { setFault('') }}>
        <h2 id='add-title'>Add</h2>
        <form onSubmit={addPerson}>
          <label for='person-name'>A person</label>
          <NameRow id='person-name' example='dave' action='Add person' />
        </form>
        <form onSubmit={addGroup}>
          <label for='group-name'>A group</label>
          <NameRow id='group-name' example='lunch' action='Add group' />
          <fieldset>
            <legend>Members</legend>
            {room.people.map(({ name }) => <label key={name}><input type='checkbox' name='member' value={name} defaultChecked /> {name}</label>)}
          </fieldset>
        </form>
        <p class='fault' role='alert'>{fault}</p>
        <button type='button' onClick={close}>Close</button>
      </dialog>
    </>
  )
}

function NameRow ({ id, example, action }: { readonly id: string, readonly example: string, readonly action: string }) {
  return (
    <div class='row'>
      <input id={id} name='name' type='text' required pattern={NAME} title={NAME_HINT} placeholder={example} autoComplete='off' autoCapitalize='none' />
      <button type='submit' class='primary'>{action}</button>
    </div>
  )
}

function nameIn (form: HTMLFormElement): string {
  return String(new FormData(form).get('name'))
}

/** What the document says first: enough to make a change and to find it again. */
export const INTRODUCTION = `Every change made here is journaled: who, when, from where, and each field's old and new value.

**First steps, on this page**

1. \`npm start\` printed an admin token (it is also in \`.tidemark/admin-token\`). Press **Authorize**, paste it, press Authorize, then Close.
2. Open **PUT /wiki/{name}** below, press **Try it out**, then **Execute**. The answer is 201, and its header \`tidemark-tid\` is the number of your change in the journal.
3. Open **GET /wiki/{name}/history** and execute it: there is your change. **GET /journal** lists all changes of everything; **GET /journal/stream** sends them as they happen.

**What holds everywhere**

- Names in paths are percent-encoded; a slash in a name is \`%2F\`.
- A change answers \`Tidemark-Tid\`. One that changes nothing is a 200 without it.
- \`If-Match: "<etag>"\` makes a change depend on the version that you have read; \`If-None-Match: *\` on that there is none. 412 says that it is otherwise.
- With an \`Idempotency-Key\` a change can be repeated without being made twice.
- Send the \`Tidemark-Tid\` of your change as \`Tidemark-Wait-For\` with a read, and any server shows it to you.
- Lists answer \`{items, next}\`: give \`next\` as \`cursor\` to go on; null is the end.
- Refusals are \`application/problem+json\`: \`detail\` is a sentence for people, \`code\` is for programs, \`errors\` says which field. A refused request changes nothing.
- Fields may be added to answers: a client passes over what it does not know.`;

/** The groups of routes, in their order: a controller's name, or where its routes belong. */
export const TAGS: Readonly<Record<string, string>> = {
  Wiki: 'Pages of text under a name',
  Ticket: 'What is to be done: fields, comments, a workflow',
  Webhook: 'Receivers that are told of changes over HTTP, by signed messages',
  Production: 'Projects with their sequences, shots and assets, and the tasks of these',
  DataConsistency: 'Whether what is shown of shots and assets is what their tasks say',
  Journal: 'All changes of everything, as pages and as a stream',
  Status: 'How the servers and the journal are doing',
  Findings: 'What checks of the data have found',
  Effects: 'Side effects of changes, such as mail, and the listeners that bring them about',
  Access: 'Who you are, users and tokens',
  Health: 'For load balancers and probes',
  Documentation: 'This document, and the page that shows it',
};

/** Controllers whose routes belong to the group of another. */
export const JOINED: Readonly<Record<string, string>> = {
  WikiText: 'Wiki',
  Watch: 'Wiki',
  Notifications: 'Access',
  ...{
    TaskWork: 'Production',
    Projects: 'Production',
    Sequences: 'Production',
    Shots: 'Production',
    Assets: 'Production',
  },
  ...{ Persons: 'Production', TaskTypes: 'Production', TaskStatuses: 'Production', Tasks: 'Production' },
  Listeners: 'Effects',
  Metrics: 'Status',
  OpenApi: 'Documentation',
  Docs: 'Documentation',
};

// What `import … from 'tidemark/server'` gives to plugins: the server's own resources, and listeners that are told what happened to them. It loads neither Nest nor the server.
export {
  type CalledAs,
  type ListeningOptions,
  type OldValues,
  type Page,
  type Ticket,
  type TicketListener,
  type Told,
  type ToldComment,
  ticket,
  ticketComment,
  ticketListener,
  type WikiListener,
  wiki,
  wikiListener,
} from '#libs/resources';

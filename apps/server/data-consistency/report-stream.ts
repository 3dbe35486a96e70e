import { Readable } from 'node:stream';
import { StreamableFile } from '@nestjs/common';
import { addTo, emptySummary, type Validation } from '#libs/resources';

/** A report as it comes, page by page; what it adds up to stands at its end. Its first page is there before anything is sent. */
export async function reportStream(
  project_id: string | null,
  pages: AsyncGenerator<Validation[], void>,
): Promise<StreamableFile> {
  const first = await pages.next();
  return new StreamableFile(Readable.from(texts(project_id, pages, first)), {
    type: 'application/json; charset=utf-8',
  });
}

async function* texts(
  project_id: string | null,
  pages: AsyncGenerator<Validation[], void>,
  first: IteratorResult<Validation[], void>,
): AsyncGenerator<string> {
  let summary = emptySummary(project_id);
  yield '{"entities":[';
  try {
    for (let page = first; !page.done; page = await pages.next()) {
      const before = summary.entities === 0 ? '' : ',';
      summary = page.value.reduce(addTo, summary);
      if (page.value.length > 0) yield before + page.value.map((one) => JSON.stringify(one)).join(',');
    }
  } finally {
    await pages.return();
  }
  yield `],"summary":${JSON.stringify(summary)}}`;
}

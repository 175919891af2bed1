// Every file that is generated from the law (contracts 9.3), but for the section of CODEOWNERS, which others write around.
import { asyncApiDocument } from './asyncapi.ts';
import { jsonText, type LawDocument, type LawSource } from './law-document.ts';
import { natsPermissions } from './nats-permissions.ts';
import { subjectsModule } from './subjects-module.ts';
import { subjectsPage } from './subjects-page.ts';

export const lawDocuments = (source: LawSource): readonly LawDocument[] => [
  { path: 'contracts/generated/asyncapi.json', text: jsonText(asyncApiDocument(source)) },
  { path: 'contracts/generated/nats-permissions.json', text: jsonText(natsPermissions(source.registry)) },
  { path: 'contracts/generated/subjects.ts', text: subjectsModule(source) },
  { path: 'docs/reference/subjects.md', text: subjectsPage(source.registry) },
];

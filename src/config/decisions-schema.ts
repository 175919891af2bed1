// Settings of decision records (policy 11.3).
import { section, share } from './setting.ts';

export const decisionsSchema = section({
  sample: share(
    1,
    'Share of the requests whose decisions are recorded in `policy.data_dir`, for 7 days and at most 4 GiB; 0 records nothing.',
  ),
});

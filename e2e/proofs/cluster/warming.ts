/** What a proxy has been told and does not yet obey, because something that it names has not come. */
import type { Envoy } from './envoy.ts'

/** Listeners and clusters; meanwhile the old ones live on, in this pod and in no new one. */
export async function warmingIn(envoy: Envoy): Promise<number> {
  const stats = await envoy.stats()
  return (
    stats.of('listener_manager.total_listeners_warming') +
    stats.of('cluster_manager.warming_clusters')
  )
}

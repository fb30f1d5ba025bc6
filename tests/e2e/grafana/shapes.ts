// What Grafana's published types say of a dashboard and its panels, in the form JSON has: an enumeration's text stands for it.
import type { Dashboard, GraphFieldConfig, Panel, RowPanel } from '@grafana/schema';
import type { Options as BarGauge } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as Logs } from '@grafana/schema/dist/esm/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// The data sources' own types are not published: these are the properties that their query editors save.
interface Query {
  datasource: { type: 'loki' | 'prometheus'; uid: '${datasource}' };
  editorMode: 'code' | 'builder';
  expr: string;
  legendFormat?: string;
  refId: string;
}
interface PrometheusQuery extends Query {
  instant?: boolean;
  range: boolean;
}
interface LokiQuery extends Query {
  direction: 'backward' | 'forward';
  maxLines?: number;
  queryType: 'instant' | 'range';
}

type Json<T> = T extends string ? `${T}` : T extends number ? T : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

type Of<Type extends string, Options, Query, Custom = Record<string, unknown>> =
  Omit<Panel<Options, Custom>, 'type' | 'options' | 'targets'> & { type: Type; options: Options; targets: Query[] };

type Drawn<Query> =
  Of<'stat', Stat, Query> | Of<'timeseries', TimeSeries, Query, GraphFieldConfig> | Of<'bargauge', BarGauge, Query> | Of<'logs', Logs, Query>;

type Board<Query> = Json<Omit<Dashboard, 'panels'> & { panels: (Drawn<Query> | RowPanel)[] }>;

export type OverPrometheus = Board<PrometheusQuery>;
export type OverLoki = Board<LokiQuery>;

{{/* What all objects bear. */}}
{{- define "crowdmood.labels" -}}
app.kubernetes.io/name: crowdmood
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* What finds all pods. */}}
{{- define "crowdmood.ours" -}}
app.kubernetes.io/name: crowdmood
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* As JSON, every deployment: its name, role, partition (empty where it belongs to none), selector and the role's values. */}}
{{- define "crowdmood.deployments" -}}
{{- $found := list }}
{{- range $role, $values := .Values.roles }}
{{- $selector := include "crowdmood.ours" $ | fromYaml | merge (dict "role" $role) }}
{{- $one := dict "name" (printf "%s-%s" $.Release.Name $role) "role" $role "partition" "" "selector" $selector "values" $values }}
{{- if has $role (list "ingest" "detector" "classifier") }}
{{- range $number := until (int $.Values.partitions) }}
{{- $partition := toString $number }}
{{- $name := printf "%s-%s" $one.name $partition }}
{{- $own := dict "name" $name "partition" $partition "selector" (merge (dict "partition" $partition) $selector) }}
{{- $found = append $found (merge $own $one) }}
{{- end }}
{{- else }}
{{- $found = append $found $one }}
{{- end }}
{{- end }}
{{- dict "all" $found | toJson }}
{{- end }}

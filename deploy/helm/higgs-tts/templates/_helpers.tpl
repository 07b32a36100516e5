{{- define "higgs-tts.name" -}}
{{- printf "%s" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "higgs-tts.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "higgs-tts.labels" -}}
{{ include "higgs-tts.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "higgs-tts.claim" -}}
{{- .Values.bundles.existingClaim | default (printf "%s-bundles" (include "higgs-tts.name" .)) -}}
{{- end -}}

{{- /* Whether something is fetched: the bundle, or what serveArguments falls back to. Empty for no. */ -}}
{{- define "higgs-tts.fetches" -}}
{{- if contains "://" (join " " (prepend .Values.serveArguments .Values.bundle)) }}yes{{ end -}}
{{- end -}}

{{- /* Whether the pods mount the volume with the bundles: one that is named they always do. Empty for no. */ -}}
{{- define "higgs-tts.mounts" -}}
{{- if or .Values.bundles.existingClaim (hasPrefix "file://" .Values.bundle) (not (contains "://" .Values.bundle)) }}yes{{ end -}}
{{- end -}}

{{- /* Empty for the namespace's own. */ -}}
{{- define "higgs-tts.account" -}}
{{- if .Values.serviceAccount.annotations }}
{{- .Values.serviceAccount.name | default (include "higgs-tts.name" .) -}}
{{- else }}
{{- .Values.serviceAccount.name -}}
{{- end }}
{{- end -}}

{{- define "higgs-tts.bundle" -}}
{{- if contains "://" .Values.bundle }}{{ .Values.bundle }}{{ else }}/bundles/{{ .Values.bundle }}{{ end -}}
{{- end -}}

{{- /* A claim's volume, or one that ends with its pod. */ -}}
{{- define "higgs-tts.kept" -}}
{{- if .existingClaim -}}
persistentVolumeClaim:
  claimName: {{ .existingClaim }}
{{- else -}}
emptyDir:
  sizeLimit: {{ .size }}
{{- end -}}
{{- end -}}

{{- /* Probes that may fail until the models are loaded, and before it the bundle fetched. */ -}}
{{- define "higgs-tts.startupFailures" -}}
{{- $period := int .Values.probes.periodSeconds -}}
{{- $fetch := ternary (int .Values.published.fetchSeconds) 0 (not (empty (include "higgs-tts.fetches" .))) -}}
{{- add .Values.probes.startupFailureThreshold (div (add $fetch $period -1) $period) -}}
{{- end -}}

{{- define "higgs-tts.check" -}}
exec:
  command: [{{ .Values.healthPython | quote }}, -m, serve.health, --timeout, "15"]
periodSeconds: {{ .Values.probes.periodSeconds }}
timeoutSeconds: {{ .Values.probes.timeoutSeconds }}
{{- end -}}

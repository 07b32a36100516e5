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

{{- define "higgs-tts.check" -}}
exec:
  command: [{{ .Values.healthPython | quote }}, -m, serve.health, --timeout, "15"]
periodSeconds: {{ .Values.probes.periodSeconds }}
timeoutSeconds: {{ .Values.probes.timeoutSeconds }}
{{- end -}}

{{- define "higgs-tts.gateway" -}}
- name: gateway
  image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [{{ .Values.healthPython | quote }}, -m, gateway]
  args:
    - --triton=127.0.0.1:8001
    - --host=0.0.0.0
    - --drain={{ .Values.drainSeconds }}
    - --consents=/state/consents
    {{- if .Values.gateway.keysSecret }}
    - --keys-file=/keys/keys.toml
    {{- end }}
    {{- with .Values.gateway.store.address }}
    - --store={{ . }}
    - --store-rule={{ $.Values.gateway.store.rule }}
    {{- end }}
    {{- with .Values.gateway.arguments }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.gateway.store.secret }}
  envFrom:
    - secretRef:
        name: {{ . }}
  {{- end }}
  ports:
    - name: gateway
      containerPort: 8080
  livenessProbe:
    httpGet:
      path: /health/live
      port: gateway
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  # It has Triton speak, at most every few seconds; one that is busy is ready.
  readinessProbe:
    httpGet:
      path: /health/ready
      port: gateway
    periodSeconds: 10
    timeoutSeconds: 15
  lifecycle:
    preStop:
      exec:
        command: [sleep, "5"]
  resources:
    {{- toYaml .Values.gateway.resources | nindent 4 }}
  {{- with .Values.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: uploads
      mountPath: /tmp
    - name: state
      mountPath: /state
    {{- if .Values.gateway.keysSecret }}
    - name: keys
      mountPath: /keys
      readOnly: true
    {{- end }}
{{- end -}}

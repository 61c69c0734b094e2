# Before days of work on a cluster: one table of what is well and what to do. Needs nothing and leaves nothing that a
# result depends on.


rule preflight:
    """Check the site before days of work: one table of what is well and what to do."""
    log:
        RESULTS.log("preflight"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        configfiles=workflow.config_settings.configfiles,
        demands=lambda wildcards: json.dumps(demands()),
        downloads=lambda wildcards: missing_downloads(),
    message:
        "check this site"
    shell:
        "python {params.scripts:q}/check_site.py"
        " --configfile {params.configfiles:q} --demands {params.demands:q}"
        " --missing-downloads {params.downloads:q} 2> {log:q}"

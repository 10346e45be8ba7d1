//! Regions and zones that are there without being declared. What the operator declares under the same name replaces them.
//!
//! Countries of regions are facts that the providers publish: of Amazon Web Services in `partitions.json` of botocore 1.44.5
//! (Apache-2.0), of Azure in the regions module of Azure/terraform-azurerm-avm-utl-regions (MIT), of Google Cloud in
//! GoogleCloudPlatform/region-picker (Apache-2.0). They say where data rests, not who can be compelled to hand it over.

use super::{Country, Region, Zone};
use crate::id::{RegionName, ZoneName};

/// The member states of the European Union.
const EU: &str = "AT BE BG HR CY CZ DE DK EE ES FI FR GR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";
/// The further members of the European Economic Area.
const EEA_ONLY: &str = "IS LI NO";

/// Regions of the large providers, each as its name and its country.
const REGIONS: [(&str, &[&str]); 3] = [
    (
        "Amazon Web Services",
        &[
            "af-south-1=ZA ap-east-1=HK ap-east-2=TW ap-northeast-1=JP ap-northeast-2=KR ap-northeast-3=JP",
            "ap-south-1=IN ap-south-2=IN ap-southeast-1=SG ap-southeast-2=AU ap-southeast-3=ID",
            "ap-southeast-4=AU ap-southeast-5=MY ap-southeast-6=NZ ap-southeast-7=TH ca-central-1=CA",
            "ca-west-1=CA cn-north-1=CN cn-northwest-1=CN eu-central-1=DE eu-central-2=CH eu-north-1=SE",
            "eu-south-1=IT eu-south-2=ES eu-west-1=IE eu-west-2=GB eu-west-3=FR eusc-de-east-1=DE",
            "il-central-1=IL me-central-1=AE me-south-1=BH me-west-1=SA mx-central-1=MX sa-east-1=BR",
            "sa-west-1=CL us-east-1=US us-east-2=US us-gov-east-1=US us-gov-west-1=US us-west-1=US",
            "us-west-2=US",
        ],
    ),
    (
        "Azure",
        &[
            "australiacentral=AU australiacentral2=AU australiaeast=AU australiasoutheast=AU austriaeast=AT",
            "belgiumcentral=BE brazilsouth=BR brazilsoutheast=BR canadacentral=CA canadaeast=CA",
            "centralindia=IN centralus=US chilecentral=CL denmarkeast=DK eastasia=HK eastus=US eastus2=US",
            "francecentral=FR francesouth=FR germanynorth=DE germanywestcentral=DE indonesiacentral=ID",
            "israelcentral=IL italynorth=IT japaneast=JP japanwest=JP jioindiacentral=IN jioindiawest=IN",
            "koreacentral=KR koreasouth=KR malaysiawest=MY mexicocentral=MX newzealandnorth=NZ",
            "northcentralus=US northeurope=IE norwayeast=NO norwaywest=NO polandcentral=PL qatarcentral=QA",
            "southafricanorth=ZA southafricawest=ZA southcentralus=US southeastasia=SG southindia=IN",
            "spaincentral=ES swedencentral=SE switzerlandnorth=CH switzerlandwest=CH uaecentral=AE",
            "uaenorth=AE uksouth=GB ukwest=GB westcentralus=US westeurope=NL westindia=IN westus=US",
            "westus2=US westus3=US",
        ],
    ),
    (
        "Google Cloud",
        &[
            "africa-south1=ZA asia-east1=TW asia-east2=HK asia-northeast1=JP asia-northeast2=JP",
            "asia-northeast3=KR asia-south1=IN asia-south2=IN asia-southeast1=SG asia-southeast2=ID",
            "australia-southeast1=AU australia-southeast2=AU europe-central2=PL europe-north1=FI",
            "europe-southwest1=ES europe-west1=BE europe-west10=DE europe-west12=IT europe-west2=GB",
            "europe-west3=DE europe-west4=NL europe-west6=CH europe-west8=IT europe-west9=FR me-central1=QA",
            "me-central2=SA me-west1=IL northamerica-northeast1=CA northamerica-northeast2=CA",
            "southamerica-east1=BR southamerica-west1=CL us-central1=US us-east1=US us-east4=US us-east5=US",
            "us-south1=US us-west1=US us-west2=US us-west3=US us-west4=US",
        ],
    ),
];

pub(super) fn regions() -> impl Iterator<Item = Region> {
    let of = |(cloud, lines): (&'static str, &'static [&'static str])| {
        let all = lines.iter().flat_map(|line| line.split(' '));
        all.map(move |region| known_region(cloud, region))
    };
    REGIONS.into_iter().flat_map(of)
}

fn known_region(cloud: &str, text: &str) -> Region {
    let (name, country) = text.split_once('=').expect("the regions above have countries");
    Region {
        name: RegionName::parse(name).expect("the names above are names"),
        country: Country::parse(country).expect("the codes above are countries"),
        label: Some(cloud.into()),
    }
}

/// `eu`, `eea`, `eea+adequate` and `us`.
pub(super) fn zones() -> impl Iterator<Item = Zone> {
    let eea = || EU.split(' ').chain(EEA_ONLY.split(' '));
    [
        zone("eu", EU.split(' '), false),
        zone("eea", eea(), false),
        zone("eea+adequate", eea(), true),
        zone("us", std::iter::once("US"), false),
    ]
    .into_iter()
}

fn zone<'a>(name: &str, countries: impl Iterator<Item = &'a str>, adequate: bool) -> Zone {
    let country = |code| Country::parse(code).expect("the codes above are countries");
    Zone {
        name: ZoneName::parse(name).expect("the names above are names"),
        countries: countries.map(country).collect(),
        regions: std::collections::BTreeSet::new(),
        adequate,
    }
}

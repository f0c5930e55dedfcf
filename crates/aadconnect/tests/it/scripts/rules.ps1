# Rules of a newer build, as the editor prints them; read as data.
<# Identifiers
   are made up. #>
Import-Module ADSync

New-ADSyncRule  `
-Name 'In from AD - User Join' `
-Identifier '10000001-1111-4222-8333-444444444444' `
-Description 'People, and who''s one' `
-Direction 'Inbound' `
-Precedence 100 `
-PrecedenceAfter '00000000-0000-0000-0000-000000000000' `
-PrecedenceBefore '00000000-0000-0000-0000-000000000000' `
-SourceObjectType 'user' `
-TargetObjectType 'person' `
-Connector '11111111-aaaa-4bbb-8ccc-222222222222' `
-LinkType 'Provision' `
-SoftDeleteExpiryInterval 0 `
-ImmutableTag 'Microsoft.InfromADUserJoin.011' `
-OutVariable syncRule


Add-ADSyncAttributeFlowMapping  `
-SynchronizationRule $syncRule[0] `
-Source @('mS-DS-ConsistencyGuid','objectGUID') `
-Destination 'sourceAnchorBinary' `
-FlowType 'Expression' `
-ValueMergeType 'Update' `
-Expression 'IIF("mS-DS-ConsistencyGuid" = "mS-DS-ConsistencyGuid",
  IIF(IsPresent([mS-DS-ConsistencyGuid]),[mS-DS-ConsistencyGuid],[objectGUID]),
  [objectGUID])' `
-OutVariable syncRule

Add-ADSyncAttributeFlowMapping  `
-SynchronizationRule $syncRule[0] `
-Source @('sAMAccountName') `
-Destination 'cloudFiltered' `
-FlowType 'Expression' `
-ValueMergeType 'Update' `
-Expression 'IIF(Left([sAMAccountName], 4) = "AAD_", True, NULL)' `
-OutVariable syncRule

Add-ADSyncAttributeFlowMapping  `
-SynchronizationRule $syncRule[0] `
-Source @('User') `
-Destination 'sourceObjectType' `
-FlowType 'Constant' `
-ValueMergeType 'Update' `
-OutVariable syncRule

New-Object  `
-TypeName 'Microsoft.IdentityManagement.PowerShell.ObjectModel.ScopeCondition' `
-ArgumentList 'isCriticalSystemObject','TRUE','NOTEQUAL' `
-OutVariable condition0

New-Object  `
-TypeName 'Microsoft.IdentityManagement.PowerShell.ObjectModel.ScopeCondition' `
-ArgumentList 'adminDescription','User_','NOTSTARTSWITH' `
-OutVariable condition1

Add-ADSyncScopeConditionGroup  `
-SynchronizationRule $syncRule[0] `
-ScopeConditions @($condition0[0],$condition1[0]) `
-OutVariable syncRule

New-Object  `
-TypeName 'Microsoft.IdentityManagement.PowerShell.ObjectModel.JoinCondition' `
-ArgumentList 'mS-DS-ConsistencyGuid','sourceAnchorBinary',$false `
-OutVariable condition0

Add-ADSyncJoinConditionGroup  `
-SynchronizationRule $syncRule[0] `
-JoinConditions @($condition0[0]) `
-OutVariable syncRule

New-Object  `
-TypeName 'Microsoft.IdentityManagement.PowerShell.ObjectModel.JoinCondition' `
-ArgumentList 'objectGUID','sourceAnchorBinary',$false `
-OutVariable condition0

Add-ADSyncJoinConditionGroup  `
-SynchronizationRule $syncRule[0] `
-JoinConditions @($condition0[0]) `
-OutVariable syncRule

Add-ADSyncRule  `
-SynchronizationRule $syncRule[0]

Get-ADSyncRule  `
-Identifier '10000001-1111-4222-8333-444444444444'

New-ADSyncRule -Name 'In from AD - User Common' -Identifier '10000002-1111-4222-8333-444444444444' -Direction 'Inbound' -Precedence 101 -SourceObjectType 'user' -TargetObjectType 'person' -Connector '{11111111-aaaa-4bbb-8ccc-222222222222}' -LinkType 'Join' -ImmutableTag '' -EnablePasswordSync -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('displayName','cn') -Destination 'displayName' -FlowType 'Expression' -ValueMergeType 'Update' -Expression "IIF(IsNullOrEmpty([displayName]),[cn],[displayName])" -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('objectGUID') -Destination 'sourceAnchor' -FlowType 'Expression' -Expression @'
IIF(IsPresent([mS-DS-ConsistencyGuid]),
    ConvertToBase64([mS-DS-ConsistencyGuid]), ConvertToBase64([objectGUID]))
'@ -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('userAccountControl') -Destination 'accountEnabled' -FlowType 'Expression' -Expression 'IIF(BitAnd([userAccountControl],2)=0,True,False)' -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('userPrincipalName') -Destination 'userPrincipalName' -FlowType 'Direct' -ValueMergeType 'Update' -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('contosoCostCentre') -Destination 'costCentre' -FlowType 'Direct' -ValueMergeType 'Update' -ExecuteOnce -OutVariable syncRule
Add-ADSyncRule -SynchronizationRule $syncRule[0]

New-ADSyncRule `
-Name 'In from AAD - User Join' `
-Identifier '10000003-1111-4222-8333-444444444444' `
-Direction 'Inbound' `
-Precedence 102 `
-SourceObjectType 'user' `
-TargetObjectType 'person' `
-Connector 'b891884f-051e-4a83-95af-2544101c9083' `
-LinkType 'Join' `
-OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('cloudAnchor') -Destination 'cloudAnchor' -FlowType 'Direct' -OutVariable syncRule
New-Object -TypeName 'Microsoft.IdentityManagement.PowerShell.ObjectModel.JoinCondition' -ArgumentList 'sourceAnchor','sourceAnchor',$true -OutVariable condition0
Add-ADSyncJoinConditionGroup -SynchronizationRule $syncRule[0] -JoinConditions @($condition0[0]) -OutVariable syncRule
Add-ADSyncRule -SynchronizationRule $syncRule[0]

New-ADSyncRule `
-Name 'Out to AAD - User Join' `
-Identifier '10000004-1111-4222-8333-444444444444' `
-Direction 'Outbound' `
-Precedence 103 `
-SourceObjectType 'person' `
-TargetObjectType 'user' `
-Connector 'b891884f-051e-4a83-95af-2544101c9083' `
-LinkType 'Provision' `
-OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('sourceAnchor') -Destination 'sourceAnchor' -FlowType 'Direct' -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('accountEnabled') -Destination 'accountEnabled' -FlowType 'Direct' -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('displayName') -Destination 'displayName' -FlowType 'Direct' -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('userPrincipalName') -Destination 'userPrincipalName' -FlowType 'Direct' -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('costCentre') -Destination 'contosoUnheardOf' -FlowType 'Direct' -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('costCentre') -Destination 'extension_9d98ed114c4840d298fad781915f27e4_costCentre' -FlowType 'Direct' -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('displayName') -Destination 'info' -FlowType 'Expression' -Expression 'NoSuchFunction([displayName])' -OutVariable syncRule
New-Object -TypeName 'Microsoft.IdentityManagement.PowerShell.ObjectModel.ScopeCondition' -ArgumentList 'cloudFiltered','True','NOTEQUAL' -OutVariable condition0
Add-ADSyncScopeConditionGroup -SynchronizationRule $syncRule[0] -ScopeConditions @($condition0[0]) -OutVariable syncRule
New-Object -TypeName 'Microsoft.IdentityManagement.PowerShell.ObjectModel.JoinCondition' -ArgumentList 'sourceAnchor','sourceAnchor',$false -OutVariable condition0
Add-ADSyncJoinConditionGroup -SynchronizationRule $syncRule[0] -JoinConditions @($condition0[0]) -OutVariable syncRule
Add-ADSyncRule -SynchronizationRule $syncRule[0]

New-ADSyncRule -Name 'Out to AAD - User Old' -Identifier '10000005-1111-4222-8333-444444444444' -Direction 'Outbound' -Precedence 104 -SourceObjectType 'person' -TargetObjectType 'user' -Connector 'b891884f-051e-4a83-95af-2544101c9083' -LinkType 'Join' -Disabled -OutVariable syncRule
Add-ADSyncAttributeFlowMapping -SynchronizationRule $syncRule[0] -Source @('l') -Destination 'city' -FlowType 'Direct' -OutVariable syncRule
Add-ADSyncRule -SynchronizationRule $syncRule[0]

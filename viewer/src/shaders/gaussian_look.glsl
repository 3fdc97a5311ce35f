$out = $gsplat;
if ($out.rgba.a < $minOpacity || any(lessThan($out.center, $cropLow)) || any(greaterThan($out.center, $cropHigh))) {
    $out.flags = 0u;
    $out.rgba.a = 0.0;
}
$out.scales *= $scale;
if ($mode != MODE_COLOR) {
    vec3 lookAxis = $out.scales.x < min($out.scales.y, $out.scales.z) ? vec3(1.0, 0.0, 0.0)
        : $out.scales.y < $out.scales.z ? vec3(0.0, 1.0, 0.0) : vec3(0.0, 0.0, 1.0);
    vec3 lookTurn = 2.0 * cross($out.quaternion.xyz, lookAxis);
    vec3 lookNormal = lookAxis + $out.quaternion.w * lookTurn + cross($out.quaternion.xyz, lookTurn);
    vec3 lookSight = $out.center - $eye.xyz;
    lookNormal *= dot(lookNormal, lookSight) > 0.0 ? -1.0 : 1.0;
    $out.rgba.rgb = colorOfLook($mode, $out.rgba.rgb, dot(lookSight, $forward.xyz), vec2($eye.w, $forward.w), lookNormal,
        $out.rgba.a, $out.index);
}
